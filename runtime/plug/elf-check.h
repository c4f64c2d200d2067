/* SPDX-License-Identifier: Apache-2.0 */
/* Looks at a module's file before the loader does: dlopen maps what the headers promise, and a file
 * that is shorter kills the process with SIGBUS. Main thread. */
#ifndef MR_ELF_CHECK_H
#define MR_ELF_CHECK_H

/* NULL: a whole shared object for this machine; else what is wrong ("is no ELF file"), static text.
 */
const char *mr_elf_check(const char *path);

#endif
