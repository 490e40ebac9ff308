/*
 * For a CPU on which no instruction reaches the point of persistence. The library reports this once, at the first
 * write-back, and no memory counts as persistent. The first argument is a directory for files.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libpmem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char report[4096];
static unsigned logged;

static void log_function(enum pmem_log_level level, const char *file, unsigned line, const char *function,
			 const char *text)
{
	(void)file, (void)line, (void)function;
	logged += level == PMEM_LOG_LEVEL_ERROR && strncmp(text, "stores are ", 11) == 0;
}

/* Reads the standard error output, which is a file. */
static size_t reported(void)
{
	ssize_t len = pread(STDERR_FILENO, report, sizeof(report) - 1, 0);
	if (len < 0)
		exit(2);
	report[len] = 0;
	return (size_t)len;
}

static void require(int holds, const char *what)
{
	if (!holds) {
		printf("%s; errno %d, report \"%s\", message \"%s\"\n", what, errno, report, pmem_errormsg());
		exit(1);
	}
}

int main(int argc, char **argv)
{
	char bytes[256] = "stored";
	int is_pmem = 1;
	size_t len, first;
	if (argc != 2 || chdir(argv[1]) != 0)
		return 2;
	int file = open("report", O_CREAT | O_TRUNC | O_RDWR, 0600);
	if (file < 0 || dup2(file, STDERR_FILENO) < 0)
		return 2;

	char *start = pmem_map_file("file", 4096, PMEM_FILE_CREATE, 0600, &len, &is_pmem);
	require(start != NULL && is_pmem == 0 && pmem_is_pmem(start, len) == 0, "a file is mapped, not as persistent memory");
	memcpy(start, bytes, sizeof(bytes));
	require(pmem_msync(start, len) == 0, "pages are written back");
	pmem_drain();
	pmem_memcpy(start, bytes, sizeof(bytes), PMEM_F_MEM_NOFLUSH);
	require(reported() == 0, "nothing is reported before the first write-back");

	require(pmem_log_set_function(log_function) == 0, "a log function is set");
	pmem_memcpy_persist(start + 300, bytes, sizeof(bytes));
	require(memcmp(start + 300, "stored", 7) == 0, "bytes are copied");
	first = reported();
	require(strncmp(report, "libpmem: stores are ", 20) == 0, "the first write-back is reported");
	require(strchr(report, '\n') == report + first - 1, "one line is reported");
	require(strncmp(report + 9, pmem_errormsg(), first - 10) == 0, "the message is the report");

	pmem_persist(start, len);
	pmem_flush(start, 1);
	pmem_deep_flush(start, 1);
	pmem_memset_persist(start, 1, 100);
	require(pmem_deep_persist(start, len) == 0, "a file is written back deep");
	require(reported() == first && logged == 1, "it is reported once, and logged");
	return 0;
}
