# SPDX-License-Identifier: Apache-2.0
#
#   make            build/vdiskck and build/libvdiskck.a               (V=1: show commands)
#   make cases      some 200 damaged disks and 50 sound ones: does triage name what was hit?
#   make demo       install what is missing, build, damage an image and look into it
#   make check      install what is missing, build, pass all tests     (SAN=1: under sanitizers)
#   make fuzz       every driver against arbitrary bytes               (FUZZ_SECONDS=60 each)
#   make bench      ratios against qemu-img and others
#   make lint       formatting, static analysis, include direction, manual
#   make nbdkit     build/nbdkit-vdiskck-plugin.so                     (where nbdkit's header is)
#   make install    DESTDIR, PREFIX; and uninstall

CC      ?= cc
CFLAGS  ?= -O2 -g
PREFIX  ?= /usr/local
SAN     ?= 0
SHELL    = /bin/bash
Q       := $(if $(V),,@)
SAY      = @$(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),:,printf '  %-4s %s\n')
MAKEFLAGS += -r

VERSION := $(shell sed -n 's/^\#define VDISKCK_VERSION "\(.*\)"/\1/p' vdiskck/version.h)

# A build with sanitizers has a folder of its own, so both can stay.
ifeq ($(SAN),1)
B        = build/san
SANFLAGS = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1
else
B        = build
endif

# Programs for `make fuzz`: one for each of these drivers, and one for each tests/fuzz/fuzz_*.c.
FUZZ_DRIVERS = ext4 fat exfat lvm2 md ntfs regf journal evt vhd qcow2 raw foreign_vmdk gpt mbr scan bitlocker luks1 \
	   luks2 integrity verity
FUZZ_SECONDS = 60
FUZZ_CC  = clang
FUZZ_B   = build/fuzz
FUZZ_FLAGS = -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all \
	   -fno-omit-frame-pointer -O1

LIBS     = -lwim -lgcrypt -lgpg-error -lz -lzstd -llzma -llz4 -ldeflate -lxxhash -ljson-c -lsqlite3 \
	   -lnbd -lseccomp -lpthread -lm
WARN     = -Wall -Wextra -Wshadow -Wvla -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes \
	   -Wformat=2 -Wundef -Werror
HARDEN   = -fstack-protector-strong -D_FILE_OFFSET_BITS=64 -fPIC
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -I. $(WARN) $(HARDEN) $(CFLAGS) $(SANFLAGS)

LIB_SRC  = $(wildcard vdiskck/core/*.c crypto/*.c formats/*.c formats/*/*.c recover/*.c) \
	   $(filter-out vdiskck/main.c vdiskck/nbdkit.c vdiskck/cmd_%.c,$(wildcard vdiskck/*.c))
BIN_SRC  = $(wildcard vdiskck/main.c vdiskck/cmd_*.c)
# The shims make calls fail: only for the tests that ask for it, and for LD_PRELOAD.
TEST_LIB = $(filter-out %_shim.c,$(wildcard tests/lib/*.c))
SHIMS    = $B/eio_shim.so $B/fault_shim.so
TEST_SRC = $(wildcard tests/core/test_*.c tests/crypto/test_*.c tests/formats/test_*.c \
	   tests/recover/test_*.c tests/vdiskck/test_*.c)
FUZZ_LIB = $(filter-out tests/fuzz/fuzz_%.c,$(wildcard tests/fuzz/*.c))
FUZZ_SRC = $(filter-out tests/fuzz/fuzz_driver.c,$(wildcard tests/fuzz/fuzz_*.c))

MAN      = $(sort $(wildcard man/*.[1-8]) man/vdiskck-findings.7)

LIB_OBJ  = $(LIB_SRC:%.c=$B/obj/%.o)
BIN_OBJ  = $(BIN_SRC:%.c=$B/obj/%.o)
TLIB_OBJ = $(TEST_LIB:%.c=$B/obj/%.o)
TESTS    = $(TEST_SRC:tests/%.c=$B/tests/%)
FLIB_OBJ = $(FUZZ_LIB:%.c=$B/obj/%.o)
FUZZERS  = $(FUZZ_DRIVERS:%=$B/fuzz_%) $(FUZZ_SRC:tests/fuzz/%.c=$B/%)

# nbdkit looks for plugins in one place, whatever our PREFIX.
PLUGIN     = $(if $(wildcard /usr/include/nbdkit-plugin.h),$B/nbdkit-vdiskck-plugin.so)
PLUGIN_DIR = $(DESTDIR)$(shell pkg-config --variable=plugindir nbdkit)

all: $B/vdiskck $B/libvdiskck.a $(PLUGIN) man/vdiskck-findings.7

$B/vdiskck: $(BIN_OBJ) $B/libvdiskck.a
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

# The program knows its findings: the page is made by it, and not kept in git.
man/vdiskck-findings.7: vdiskck/core/findings.def vdiskck/cmd_explain.c | $B/vdiskck
	@$B/vdiskck explain --mdoc >$@.new && mv $@.new $@

$B/libvdiskck.a: $(LIB_OBJ)
	@rm -f $@
	$(SAY) AR $@
	$(Q)$(AR) rcs $@ $^

# The library's names stay inside: nbdkit's own and those of filters share one space with them.
$B/nbdkit-vdiskck-plugin.so: $B/obj/vdiskck/nbdkit.o $B/libvdiskck.a
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -shared -Wl,--exclude-libs,ALL -o $@ $^ $(LIBS)

nbdkit: $B/nbdkit-vdiskck-plugin.so

# A changed compiler or flag rebuilds everything: the stamp's text is the command.
FLAGS_TEXT = $(CC) $(ALL_CFLAGS)
$B/flags: FORCE
	@mkdir -p $B; echo '$(FLAGS_TEXT)' | cmp -s - $@ || echo '$(FLAGS_TEXT)' >$@

$B/obj/%.o: %.c $B/flags
	@mkdir -p $(@D)
	$(SAY) CC $<
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$B/tests/%: $B/obj/tests/%.o $(TLIB_OBJ) $B/libvdiskck.a
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS)

# The library is compiled once with libFuzzer's instrumentation, in a make with that folder as B.
$(FUZZ_DRIVERS:%=$B/obj/tests/fuzz/driver_%.o): $B/obj/tests/fuzz/driver_%.o: \
		tests/fuzz/fuzz_driver.c $B/flags
	@mkdir -p $(@D)
	$(SAY) CC $@
	$(Q)$(CC) $(ALL_CFLAGS) -DFUZZ_OPS=$*_ops -MMD -MP -c -o $@ $<

FUZZ_LINK = $(CC) $(ALL_CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -Wl,--wrap=open,--wrap=open64 \
	   -Wl,--wrap=openat,--wrap=openat64,--wrap=opendir -o $@ $^ -lcmocka $(LIBS)

$(FUZZ_DRIVERS:%=$B/fuzz_%): $B/fuzz_%: $B/obj/tests/fuzz/driver_%.o $(FLIB_OBJ) $(TLIB_OBJ) \
		$B/libvdiskck.a
	$(SAY) LD $@
	$(Q)$(FUZZ_LINK)

$(FUZZ_SRC:tests/fuzz/%.c=$B/%): $B/%: $B/obj/tests/fuzz/%.o $(FLIB_OBJ) $(TLIB_OBJ) \
		$B/libvdiskck.a
	$(SAY) LD $@
	$(Q)$(FUZZ_LINK)

fuzzers: $(FUZZERS)

fuzz-programs:
	$(MAKE) -j$$(nproc) B=$(FUZZ_B) CC=$(FUZZ_CC) SAN=0 SANFLAGS='$(FUZZ_FLAGS)' fuzzers

fuzz: deps fuzz-programs
	tests/fuzz/run.sh $(FUZZ_B) $(FUZZ_SECONDS) $(FUZZERS:$B/fuzz_%=%)

-include $(FUZZ_DRIVERS:%=$B/obj/tests/fuzz/driver_%.d) $(FUZZ_SRC:%.c=$B/obj/%.d)
-include $(FUZZ_LIB:%.c=$B/obj/%.d)
$B/tests/core/test_source $B/tests/core/test_source_beside: $B/obj/tests/lib/eio_shim.o

$(SHIMS): $B/%.so: tests/lib/%.c $B/flags
	$(CC) -std=c11 -D_GNU_SOURCE $(WARN) $(HARDEN) -O1 -shared -o $@ $< -ldl

-include $(LIB_OBJ:.o=.d) $(BIN_OBJ:.o=.d) $B/obj/vdiskck/nbdkit.d $(TLIB_OBJ:.o=.d)
-include $(TEST_SRC:%.c=$B/obj/%.d)

# Makers of images, linked with the library. For tests, and by hand: fixtures/README.
FIXTURES = $B/fixtures/mkbitlocker $B/fixtures/mkevtx $B/fixtures/mkmany
$B/fixtures/mkbitlocker: $B/obj/fixtures/bitlocker/mkbitlocker.o \
		$B/obj/tests/lib/bitlocker_build.o $B/libvdiskck.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$B/fixtures/mkmany: $B/obj/fixtures/ntfs/mkmany.o $B/libvdiskck.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

# What a library can do by itself, for tests/bench/crypto.sh
$B/fixtures/cryptobench: $B/obj/tests/bench/cryptobench.o $(TLIB_OBJ) $B/libvdiskck.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS)

$B/fixtures/mkevtx: $B/obj/fixtures/evtx/mkevtx.o $B/obj/tests/lib/evtx_build.o $B/libvdiskck.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

fixtures: $(FIXTURES)

$B/evtx_bench: $B/obj/tests/bench/evtx_bench.o $B/libvdiskck.a
	$(SAY) LD $@
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

# What the kernel takes to make files, for tests/bench/ntfs.sh
$B/makefiles: $B/obj/tests/bench/makefiles.o
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ -lpthread

-include $B/obj/fixtures/bitlocker/mkbitlocker.d $B/obj/fixtures/evtx/mkevtx.d $B/obj/fixtures/ntfs/mkmany.d
-include $B/obj/tests/bench/cryptobench.d

tests: $(TESTS) $(FIXTURES) $(SHIMS)

# Install what is missing first, in a make of its own: headers must be there before compiling.
check: deps
	$(MAKE) -j$$(nproc) all tests
	$(MAKE) fuzz-programs
	tests/run.sh $B '$(T)'

# Every fault of tests/cases on every kind of disk; `make check` takes a sample.
cases: deps
	@$(MAKE) -s -j$$(nproc) all fixtures
	@mkdir -p $B/cases
	@python3 -B tests/cases/cases.py $B $B/cases

demo: deps
	@$(MAKE) -s -j$$(nproc) all fixtures
	@fixtures/demo/demo.sh $B

deps:
	@tests/deps.sh

lint: man/vdiskck-findings.7
	@tests/deps.sh lint
	tests/lint/all.sh

# The library's headers are not installed: it is ours to change until a release says otherwise.
install: all
	install -D -m 755 $B/vdiskck $(DESTDIR)$(PREFIX)/bin/vdiskck
	for page in $(MAN); do install -D -m 644 $$page \
		$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}; done
	install -D -m 644 deploy/completion.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/vdiskck
	$(if $(PLUGIN),install -D -m 755 $(PLUGIN) $(PLUGIN_DIR)/nbdkit-vdiskck-plugin.so)

uninstall:
	$(if $(PLUGIN),rm -f $(PLUGIN_DIR)/nbdkit-vdiskck-plugin.so)
	rm -f $(DESTDIR)$(PREFIX)/bin/vdiskck $(DESTDIR)$(PREFIX)/share/bash-completion/completions/vdiskck
	for page in $(MAN); do \
		rm -f $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}; done

bench: all $B/fixtures/mkbitlocker $B/fixtures/mkmany $B/fixtures/cryptobench $B/evtx_bench $B/makefiles
	@tests/deps.sh bench
	tests/bench/run.sh $B

clean:
	rm -rf build

FORCE:
.PHONY: all bench cases check clean demo deps fixtures fuzz fuzz-programs fuzzers install lint nbdkit tests uninstall FORCE
.SECONDARY:
