/* SPDX-License-Identifier: Apache-2.0 */
/* What the starrocks sink is measured against: an FE that redirects and a BE that throws bodies
 * away inside the kernel and says OK to everything, a thread for each connection.
 * usage: discard-load [FOLDER]; with a folder, each body is kept there as a file.
 * Prints {"fe": PORT, "be": PORT}; a line on stdin gives {"loads": N, "bytes": N} since the last
 * one. Ends with stdin. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define HEAD_MAX 16384
#define PART (1 << 20)

static const char *folder;
static int be_port;
static atomic_long loads, bytes, files;

struct peer {
  int fd;
  bool fe;
};

static int listen_on(int *ret_port)
{
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof at;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) || listen(fd, 64) ||
      getsockname(fd, (struct sockaddr *)&at, &len))
    exit(1);
  *ret_port = ntohs(at.sin_port);
  return fd;
}

static bool say(int fd, const char *text)
{
  size_t n = strlen(text);
  return write(fd, text, n) == (ssize_t)n;
}

/* Reads a request's head; what came of the body already is behind it. Gives the head's length. */
static size_t read_head(int fd, char *head, size_t *ret_got)
{
  size_t got = 0;
  while (got < HEAD_MAX) {
    ssize_t n = read(fd, head + got, HEAD_MAX - got);
    if (n <= 0)
      return 0;
    got += (size_t)n;
    head[got] = 0;
    char *end = strstr(head, "\r\n\r\n");
    if (end) {
      *ret_got = got;
      return (size_t)(end + 4 - head);
    }
  }
  return 0;
}

static long header_number(const char *head, const char *name)
{
  const char *p = strcasestr(head, name);
  return p ? strtol(p + strlen(name), NULL, 10) : 0;
}

static int open_file(void)
{
  char path[4096];
  snprintf(path, sizeof path, "%s/%06ld", folder, atomic_fetch_add(&files, 1));
  return open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
}

static bool keep_body(int fd, const char *first, size_t n_first, long left)
{
  int out = open_file();
  char *part = malloc(PART);
  bool ok = out >= 0 && part && write(out, first, n_first) == (ssize_t)n_first;
  while (ok && left > 0) {
    ssize_t n = read(fd, part, left < PART ? (size_t)left : PART);
    ok = n > 0 && write(out, part, (size_t)n) == n;
    left -= n;
  }
  free(part);
  close(out);
  return ok;
}

/* MSG_TRUNC: the kernel drops what it would copy. */
static bool drop_body(int fd, long left)
{
  while (left > 0) {
    ssize_t n = recv(fd, NULL, left < PART ? (size_t)left : PART, MSG_TRUNC);
    if (n <= 0)
      return false;
    left -= n;
  }
  return true;
}

static bool take_body(int fd, const char *head, size_t len, size_t got)
{
  long total = header_number(head, "\nContent-Length:");
  size_t first = got - len;
  if (!total)
    return true;
  if (strcasestr(head, "\nExpect: 100-continue") && !say(fd, "HTTP/1.1 100 Continue\r\n\r\n"))
    return false;
  atomic_fetch_add(&loads, 1);
  atomic_fetch_add(&bytes, total);
  return folder ? keep_body(fd, head + len, first, total - (long)first)
                : drop_body(fd, total - (long)first);
}

static void answer(int fd, const char *body)
{
  char text[512];
  snprintf(text, sizeof text,
           "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
           "Connection: close\r\n\r\n%s",
           strlen(body), body);
  say(fd, text);
}

static void redirect(int fd, const char *head)
{
  char text[HEAD_MAX + 256];
  const char *path = strchr(head, ' ');
  int n = path ? (int)strcspn(path + 1, " ") : 0;
  snprintf(text, sizeof text,
           "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:%d%.*s\r\n"
           "Content-Length: 0\r\nConnection: close\r\n\r\n",
           be_port, n, path ? path + 1 : "");
  say(fd, text);
}

static void *serve(void *given)
{
  struct peer *p = given;
  char *head = malloc(HEAD_MAX + 1);
  size_t got = 0, len = head ? read_head(p->fd, head, &got) : 0;
  if (len && strstr(head, "get_load_state"))
    answer(p->fd, "{\"state\": \"UNKNOWN\", \"status\": \"OK\"}");
  else if (len && p->fe)
    redirect(p->fd, head);
  else if (len && take_body(p->fd, head, len, got))
    answer(p->fd, "{\"Status\": \"OK\", \"Message\": \"\"}");
  shutdown(p->fd, SHUT_RDWR);
  close(p->fd);
  free(head);
  free(p);
  return NULL;
}

struct door {
  int fd;
  bool fe;
};

static void *accept_all(void *given)
{
  const struct door *door = given;
  for (;;) {
    int on = 1;
    pthread_t thread;
    struct peer *p = malloc(sizeof *p);
    if (!p)
      exit(1);
    *p = (struct peer){accept(door->fd, NULL, NULL), door->fe};
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (p->fd < 0 || pthread_create(&thread, NULL, serve, p))
      exit(1);
    pthread_detach(thread);
  }
  return NULL;
}

int main(int argc, char **argv)
{
  int fe_port;
  char line[64];
  pthread_t thread;
  struct door fe = {.fe = true}, be = {.fe = false};
  folder = argc > 1 ? argv[1] : NULL;
  fe.fd = listen_on(&fe_port);
  be.fd = listen_on(&be_port);
  if (pthread_create(&thread, NULL, accept_all, &fe) ||
      pthread_create(&thread, NULL, accept_all, &be))
    return 1;
  printf("{\"fe\": %d, \"be\": %d}\n", fe_port, be_port);
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    printf("{\"loads\": %ld, \"bytes\": %ld}\n", atomic_exchange(&loads, 0),
           atomic_exchange(&bytes, 0));
    fflush(stdout);
  }
  return 0;
}
