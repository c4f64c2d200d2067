/* SPDX-License-Identifier: Apache-2.0 */
#include "plug/elf-check.h"
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined __x86_64__
#define MACHINE EM_X86_64
#elif defined __aarch64__
#define MACHINE EM_AARCH64
#elif defined __riscv
#define MACHINE EM_RISCV
#else
#define MACHINE 0 /* not compared */
#endif

static bool read_at(int fd, void *to, size_t n, uint64_t at)
{
  return pread(fd, to, n, (off_t)at) == (ssize_t)n;
}

static const char *check_header(const ElfW(Ehdr) * h)
{
  unsigned char class = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
  if (memcmp(h->e_ident, ELFMAG, SELFMAG))
    return "is no ELF file";
  if (h->e_ident[EI_CLASS] != class || (MACHINE && h->e_machine != MACHINE))
    return "is built for another machine";
  if (h->e_type != ET_DYN)
    return "is no shared object";
  if (h->e_phentsize != sizeof(ElfW(Phdr)) || !h->e_phnum)
    return "has broken ELF headers";
  return NULL;
}

/* Every segment lies inside the file. */
static const char *check_segments(int fd, const ElfW(Ehdr) * h, uint64_t size)
{
  for (unsigned i = 0; i < h->e_phnum; i++) {
    ElfW(Phdr) p;
    uint64_t end;
    if (!read_at(fd, &p, sizeof p, h->e_phoff + (uint64_t)i * sizeof p))
      return "is cut off: the file is too short";
    if (p.p_type == PT_LOAD &&
        (__builtin_add_overflow((uint64_t)p.p_offset, (uint64_t)p.p_filesz, &end) || end > size))
      return "is cut off: the file is too short";
  }
  /* the section table is not needed, but stands at the end: without it the file was cut */
  uint64_t sections = (uint64_t)h->e_shnum * h->e_shentsize, last;
  if (__builtin_add_overflow((uint64_t)h->e_shoff, sections, &last) || last > size)
    return "is cut off: the file is too short";
  return NULL;
}

static const char *check_open(int fd)
{
  struct stat st;
  ElfW(Ehdr) h;
  if (fstat(fd, &st) || !S_ISREG(st.st_mode))
    return "is no regular file";
  if (!read_at(fd, &h, sizeof h, 0))
    return "is no ELF file";
  const char *why = check_header(&h);
  return why ? why : check_segments(fd, &h, (uint64_t)st.st_size);
}

const char *mr_elf_check(const char *path)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return "cannot be opened";
  const char *why = check_open(fd);
  close(fd);
  return why;
}
