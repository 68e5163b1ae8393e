# SPDX-License-Identifier: Apache-2.0
#
#   make            build/vdiskck and build/libvdiskck.a
#   make demo       install what is missing, build, damage an image and look into it
#   make check      install what is missing, build, pass all tests     (SAN=1: under sanitizers)
#   make fuzz       every driver against arbitrary bytes               (FUZZ_SECONDS=60 each)
#   make bench      ratios against qemu-img and others
#   make lint       formatting, static analysis, include direction, manual
#   make install    DESTDIR, PREFIX

CC      ?= cc
CFLAGS  ?= -O2 -g
PREFIX  ?= /usr/local
SAN     ?= 0
SHELL    = /bin/bash

VERSION := $(shell sed -n 's/^\#define VDISKCK_VERSION "\(.*\)"/\1/p' vdiskck/version.h)

# A build with sanitizers has a folder of its own, so both can stay.
ifeq ($(SAN),1)
B        = build/san
SANFLAGS = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1
else
B        = build
endif

LIBS     = -lgcrypt -lgpg-error -lz -lzstd -llzma -llz4 -lisal -lxxhash -ljson-c -lsqlite3 \
	   -lnbd -lseccomp -lpthread -lm
WARN     = -Wall -Wextra -Wshadow -Wvla -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes \
	   -Wformat=2 -Wundef -Werror
HARDEN   = -fstack-protector-strong -D_FILE_OFFSET_BITS=64 -fPIC
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -I. $(WARN) $(HARDEN) $(CFLAGS) $(SANFLAGS)

LIB_SRC  = $(wildcard vdiskck/core/*.c crypto/*.c formats/*.c formats/*/*.c recover/*.c) \
	   $(filter-out vdiskck/main.c vdiskck/cmd_%.c,$(wildcard vdiskck/*.c))
BIN_SRC  = $(wildcard vdiskck/main.c vdiskck/cmd_*.c)
TEST_LIB = $(wildcard tests/lib/*.c)
TEST_SRC = $(wildcard tests/core/test_*.c tests/crypto/test_*.c tests/formats/test_*.c \
	   tests/recover/test_*.c tests/vdiskck/test_*.c)
FUZZ_SRC = $(wildcard tests/fuzz/fuzz_*.c)

LIB_OBJ  = $(LIB_SRC:%.c=$B/obj/%.o)
BIN_OBJ  = $(BIN_SRC:%.c=$B/obj/%.o)
TLIB_OBJ = $(TEST_LIB:%.c=$B/obj/%.o)
TESTS    = $(TEST_SRC:tests/%.c=$B/tests/%)

all: $B/vdiskck $B/libvdiskck.a

$B/vdiskck: $(BIN_OBJ) $B/libvdiskck.a
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$B/libvdiskck.a: $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

# A changed compiler or flag rebuilds everything: the stamp's text is the command.
FLAGS_TEXT = $(CC) $(ALL_CFLAGS)
$B/flags: FORCE
	@mkdir -p $B; echo '$(FLAGS_TEXT)' | cmp -s - $@ || echo '$(FLAGS_TEXT)' >$@

$B/obj/%.o: %.c $B/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$B/tests/%: $B/obj/tests/%.o $(TLIB_OBJ) $B/libvdiskck.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS)

-include $(LIB_OBJ:.o=.d) $(BIN_OBJ:.o=.d) $(TLIB_OBJ:.o=.d)
-include $(TEST_SRC:%.c=$B/obj/%.d)

tests: $(TESTS)

# Install what is missing first, in a make of its own: headers must be there before compiling.
check: deps
	$(MAKE) -j$$(nproc) all tests
	tests/run.sh $B

deps:
	@tests/deps.sh

clean:
	rm -rf build

FORCE:
.PHONY: all check clean deps tests FORCE
.SECONDARY:
