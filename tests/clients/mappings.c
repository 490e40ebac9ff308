/*
 * Mappings of persistent memory by libpmem, printed for a comparison of two libraries.
 *
 *     mappings file PATH      creates a file of 8 MiB, maps it, and unmaps it in parts
 *     mappings device PATH    maps a device of device DAX; the lines of its deep drain begin with `deep`
 *
 * With `reused` in place of `file` it unmaps the file by munmap, and maps a file in RAM to its place.
 *
 * Exit code 0 unless the bytes of a mapping are not those that were stored before.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libpmem.h>

#define MIB ((size_t)1 << 20)
#define LEN (8 * MIB)

static void print(const char *what, int result)
{
	printf("%s: %d, errno %d\n", what, result, result < 0 ? errno : 0);
}

static void print_refusal(const char *what, const char *path, size_t len, int flags)
{
	size_t mapped = 1;
	int is_pmem = 2;
	errno = 0;
	void *start = pmem_map_file(path, len, flags, 0600, &mapped, &is_pmem);
	int reason = errno;
	printf("%s: %s, errno %d, mapped %zu, is_pmem %d, message %d\n", what, start ? "mapped" : "null", reason, mapped,
	       is_pmem, pmem_errormsg()[0] != 0);
	if (start)
		pmem_unmap(start, mapped);
}

static void print_parts(const char *what, const char *start, size_t len)
{
	printf("%s: whole %d, first %d, middle %d, last %d, beyond %d, nothing %d\n", what, pmem_is_pmem(start, len),
	       pmem_is_pmem(start, 1), pmem_is_pmem(start + 3 * MIB + 7, 100), pmem_is_pmem(start + len - 1, 1),
	       pmem_is_pmem(start + len - 1, 2), pmem_is_pmem(start, 0));
}

static char *map(const char *path, size_t len, int flags, size_t *mapped)
{
	int is_pmem = -1;
	char *start = pmem_map_file(path, len, flags, 0640, mapped, &is_pmem);
	if (!start) {
		printf("cannot map %s: %s\n", path, pmem_errormsg());
		_exit(2);
	}
	printf("mapped %zu, is_pmem %d, aligned %d\n", *mapped, is_pmem, (size_t)start % (2 * MIB) == 0);
	return start;
}

/* Stores by each function, and returns 0 if the bytes are there. */
static int store(char *start)
{
	static char bytes[3 * 4096];
	memset(bytes, 0x5a, sizeof bytes);
	pmem_memcpy_persist(start + 5, bytes, sizeof bytes);
	pmem_memset_persist(start + 5, 0x6b, 300);
	pmem_memmove_persist(start + 105, start + 5, 1000);
	pmem_memcpy(start + MIB, bytes, 4096, PMEM_F_MEM_NONTEMPORAL | PMEM_F_MEM_NODRAIN);
	pmem_drain();
	pmem_flush(start, 16384);
	pmem_drain();
	return start[5] != 0x6b || start[404] != 0x6b || start[405] != 0x5a || start[MIB + 4095] != 0x5a;
}

static int file(const char *path)
{
	size_t len;
	print_refusal("missing", path, 0, 0);
	print_refusal("length without create", path, LEN, 0);
	char *start = map(path, LEN, PMEM_FILE_CREATE | PMEM_FILE_EXCL, &len);
	print_refusal("exists", path, LEN, PMEM_FILE_CREATE | PMEM_FILE_EXCL);
	print_parts("mapped", start, len);
	int failed = store(start);
	print("deep persist", pmem_deep_persist(start, len));
	print("msync", pmem_msync(start, len));
	pid_t child = fork();
	if (child == 0)
		_exit(pmem_is_pmem(start, len));
	int status = -1;
	waitpid(child, &status, 0);
	printf("child: %d\n", WEXITSTATUS(status));

	print("unmap the middle", pmem_unmap(start + 2 * MIB, 2 * MIB));
	print_parts("in parts", start, len);
	printf("behind %d\n", pmem_is_pmem(start + 4 * MIB, 4 * MIB));
	print("deep drain of a part", pmem_deep_drain(start + 100, MIB));
	print("deep drain over a hole", pmem_deep_drain(start, len));
	print("unmap all", pmem_unmap(start, len));
	printf("gone %d\n", pmem_is_pmem(start, 1));

	start = map(path, 0, 0, &len);
	failed |= start[5] != 0x6b || start[MIB] != 0x5a;
	print("unmap", pmem_unmap(start, len));
	start = map(path, LEN / 2, PMEM_FILE_CREATE | PMEM_FILE_SPARSE, &len);
	failed |= start[5] != 0x6b;
	print("unmap", pmem_unmap(start, len));
	start = map(path, LEN - 3, PMEM_FILE_CREATE, &len);
	printf("up to the end %d, over it %d, after it %d\n", pmem_is_pmem(start, len), pmem_is_pmem(start, len + 1),
	       pmem_is_pmem(start + len, 1));
	print("deep drain over the end", pmem_deep_drain(start, LEN));
	print("unmap", pmem_unmap(start, len));
	return failed;
}

static int reused(const char *path)
{
	size_t len;
	char *start = map(path, LEN, PMEM_FILE_CREATE, &len);
	munmap(start, len);
	char *pages = map("/dev/shm/pages", LEN, PMEM_FILE_CREATE, &len);
	printf("at the same place: %d\n", pages == start);
	return pmem_unmap(pages, len);
}

static int device(const char *path)
{
	size_t len;
	print_refusal("another length", path, 4096, PMEM_FILE_CREATE);
	print_refusal("exclusive", path, 0, PMEM_FILE_CREATE | PMEM_FILE_EXCL);
	print_refusal("unnamed", path, 0, PMEM_FILE_CREATE | PMEM_FILE_TMPFILE);
	char *start = map(path, 0, 0, &len);
	print_parts("mapped", start, len);
	int failed = store(start);
	print("msync", pmem_msync(start, 4096));
	print("deep persist", pmem_deep_persist(start, len));
	print("deep drain", pmem_deep_drain(start + 4096, 1));
	/* The kernel unmaps whole units of the device. */
	size_t half = len / 2 / (2 * MIB) * (2 * MIB);
	print("unmap the end", pmem_unmap(start + half, len - half));
	print_parts("half", start, half);
	print("unmap", pmem_unmap(start, half));
	start = map(path, len, PMEM_FILE_CREATE | PMEM_FILE_SPARSE, &len);
	failed |= start[5] != 0x6b || start[MIB] != 0x5a;
	print("unmap", pmem_unmap(start, len));
	return failed;
}

int main(int count, char **arguments)
{
	if (count == 3 && strcmp(arguments[1], "file") == 0)
		return file(arguments[2]);
	if (count == 3 && strcmp(arguments[1], "device") == 0)
		return device(arguments[2]);
	if (count == 3 && strcmp(arguments[1], "reused") == 0)
		return reused(arguments[2]);
	fprintf(stderr, "usage: %s file|device|reused PATH\n", arguments[0]);
	return 2;
}
