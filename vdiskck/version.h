/* SPDX-License-Identifier: Apache-2.0 */
/* The one place that states the version: the program, the Makefile and the manual read it here. */
#ifndef VDISKCK_VERSION_H
#define VDISKCK_VERSION_H

#define VDISKCK_VERSION "0.1.0"

#endif
