/* SPDX-License-Identifier: MIT */
/*
 * bench/crawl/measure.c: runs a command and writes what it took, as the system
 * counts it: all of the process, from its start to its end.
 * usage: measure FIGURES COMMAND [ARGUMENT...]
 * Writes `cpu=seconds wall=seconds rss=bytes` into the file FIGURES; its exit
 * status is the command's, or 1 if that did not exit.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(struct timeval t) {
  return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  struct rusage usage;
  double start = now();
  FILE *file;
  int status;
  pid_t pid;
  if (argc < 3 || (file = fopen(argv[1], "we")) == NULL)
    return 2;
  pid = fork();
  if (pid == 0) {
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    _exit(127);
  }
  if (pid < 0 || wait4(pid, &status, 0, &usage) != pid)
    return 2;
  fprintf(file, "cpu=%.6f wall=%.6f rss=%ld\n",
          seconds(usage.ru_utime) + seconds(usage.ru_stime), now() - start,
          usage.ru_maxrss * 1024L);
  fclose(file);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
