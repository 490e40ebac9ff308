/*
 * Calls functions with random arguments, in the directory of the first argument, with the seed of the second one.
 * Compares each result with a model of files and mapped pages. Exits with 1 at the first difference.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <libpmem.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CALLS = 6000, FILES = 4, MAPPINGS = 16, PAGES = 24 };

static size_t page;
static uint64_t state;
static unsigned call;

/* The lengths of "file0" to "file3". -1 means that there is no such file. */
static long long lengths[FILES];

/* A mapping: its file, and the pages that are still mapped. */
static struct {
	char *start;
	size_t len;
	int file;
	int is_pmem;
	int mapped[PAGES];
} mappings[MAPPINGS];

static uint64_t below(uint64_t limit)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % limit;
}

static void require(int holds, const char *what)
{
	if (!holds) {
		printf("call %u: %s, errno %d, message \"%s\"\n", call, what, errno, pmem_errormsg());
		exit(1);
	}
}

/* Requires a failure with this errno and a message, or success if it is 0. */
static void require_errno(int failed, int expected, const char *what)
{
	require(failed == (expected != 0), what);
	require(!failed || (errno == expected && pmem_errormsg()[0] != 0), what);
}

static size_t pages(size_t len)
{
	return (len + page - 1) / page;
}

/* Returns the errno of a call, according to the manual. `file` is -1 for null, FILES for a missing directory, FILES + 1
 * for ".". */
static int map_error(int file, size_t len, int flags)
{
	int creates = (flags & PMEM_FILE_CREATE) != 0, tmp = (flags & PMEM_FILE_TMPFILE) != 0;
	if (file < 0 || flags & ~15 || (creates && (off_t)len < 0) || (len != 0) != creates || (tmp && !creates))
		return EINVAL;
	if (file == FILES)
		return ENOENT;
	if (file == FILES + 1)
		return tmp ? 0 : creates && flags & PMEM_FILE_EXCL ? EEXIST : EISDIR;
	if (tmp)
		return lengths[file] < 0 ? ENOENT : ENOTDIR;
	if (lengths[file] < 0)
		return creates ? 0 : ENOENT;
	if (creates)
		return flags & PMEM_FILE_EXCL ? EEXIST : 0;
	return lengths[file] == 0 ? EINVAL : 0;
}

/* A file that is made shorter takes away bytes of its other mappings, so only one mapping of a file is used. */
static int is_in_use(int file)
{
	for (int i = 0; i < MAPPINGS; i++)
		if (mappings[i].start != NULL && mappings[i].file == file)
			return 1;
	return 0;
}

static void map(int free)
{
	static const char *const names[] = {"file0", "file1", "file2", "file3", "missing/file", "."};
	int file = (int)below(FILES + 3) - 1;
	if (file >= 0 && file < FILES && is_in_use(file))
		return;
	size_t len = below(3) == 0 ? 0 : below(8) == 0 ? SIZE_MAX - below(5) : 1 + below(PAGES * page);
	int flags = below(12) == 0 ? (int)below(1 << 20) : (int)below(16);
	size_t mapped = 99;
	int is_pmem = 99, expected = map_error(file, len, flags);
	errno = 0;
	char *start = pmem_map_file(file < 0 ? NULL : names[file], len, flags, 0600, &mapped, &is_pmem);
	require_errno(start == NULL, expected, "map");
	if (start == NULL) {
		require(mapped == 99 && is_pmem == 99, "a failed map stores nothing");
		return;
	}
	if (file < FILES) {
		if (len != 0)
			lengths[file] = (long long)len;
		len = (size_t)lengths[file];
		struct stat status;
		require(stat(names[file], &status) == 0 && status.st_size == lengths[file], "length of the file");
	}
	require(mapped == len && is_pmem == pmem_is_pmem(start, len), "results of the map");
	mappings[free].start = start;
	mappings[free].len = len;
	mappings[free].file = file;
	mappings[free].is_pmem = is_pmem;
	for (size_t i = 0; i < PAGES; i++)
		mappings[free].mapped[i] = i < pages(len);
}

/* Returns the end of the mapped pages that begin at a page. Pages after it may belong to another mapping by now. */
static size_t end_of_run(int which, size_t first)
{
	size_t end = first;
	while (end < PAGES && mappings[which].mapped[end])
		end++;
	return end;
}

static void unmap(int which)
{
	size_t count = pages(mappings[which].len), first = below(count), run = end_of_run(which, first), end, len;
	if (run == first)
		return;
	end = first + 1 + below(run - first);
	char *start = mappings[which].start + first * page;
	errno = 0;
	switch (below(6)) {
	case 0:
		require_errno(pmem_unmap(start, 0) != 0, EINVAL, "unmap of nothing");
		return;
	case 1:
		require_errno(pmem_unmap(start + 1 + below(page - 1), page) != 0, EINVAL, "unmap in a page");
		return;
	case 2:
		require_errno(pmem_unmap(start, SIZE_MAX - below(page)) != 0, EINVAL, "unmap of everything");
		return;
	default:
		len = (end - first) * page - below(page);
		require_errno(pmem_unmap(start, len) != 0, 0, "unmap");
		require(pmem_is_pmem(start, 1) == 0 && pmem_is_pmem(start - 1, 2) == 0, "is_pmem after unmap");
	}
	int left = 0;
	for (size_t i = 0; i < count; i++) {
		unsigned char core;
		if (i >= first && i < end)
			mappings[which].mapped[i] = 0;
		if (mappings[which].mapped[i])
			require(mincore(mappings[which].start + i * page, 1, &core) == 0, "pages that stay mapped");
		left |= mappings[which].mapped[i];
	}
	if (!left)
		mappings[which].start = NULL;
}

/* Uses a range in one run of mapped pages. */
static void work(int which)
{
	static unsigned char source[PAGES << 16], before[PAGES << 16];
	size_t first = below(pages(mappings[which].len)), end = end_of_run(which, first) * page;
	if (end <= first * page)
		return;
	if (end > mappings[which].len)
		end = mappings[which].len;
	size_t room = end - first * page, at = below(room), most = room - at;
	size_t len = below(most > 300 && below(4) != 0 ? 301 : most + 1);
	unsigned char *area = (unsigned char *)mappings[which].start + first * page, *to = area + at;
	size_t from = below(room - len + 1);
	unsigned flags = (unsigned)below(64), kind = (unsigned)below(10);
	int value = (int)below(1 << 16);
	void *returned = to;
	if (kind < 4)
		memcpy(before, area, room);
	switch (kind) {
	case 0:
		memcpy(source, area + from, len);
		returned = pmem_memmove(to, area + from, len, flags);
		break;
	case 1:
		memset(source, value ^ 1, len);
		returned = pmem_memcpy(to, source, len, flags);
		break;
	case 2:
		memset(source, value, len);
		returned = pmem_memset(to, value, len, flags);
		break;
	case 3:
		memcpy(source, area + from, len);
		returned = flags & 1 ? pmem_memmove_persist(to, area + from, len) : pmem_memmove_nodrain(to, area + from, len);
		break;
	case 4:
		pmem_persist(to, len);
		break;
	case 5:
		pmem_flush(to, len);
		pmem_drain();
		break;
	case 6:
		pmem_deep_flush(to, len);
		break;
	case 7:
		errno = 0;
		require_errno(pmem_msync(to, len) != 0, 0, "msync");
		break;
	case 8:
		errno = 0;
		require_errno(pmem_deep_persist(to, len) != 0, 0, "deep persist");
		break;
	default:
		require(pmem_is_pmem(to, len) == (len > 0 && mappings[which].is_pmem), "is_pmem");
	}
	require(returned == to, "result of a copy");
	if (kind < 4) {
		memcpy(before + at, source, len);
		require(memcmp(area, before, room) == 0, "bytes after a copy");
	}
}

int main(int argc, char **argv)
{
	if (argc != 3 || chdir(argv[1]) != 0)
		return 2;
	state = strtoull(argv[2], NULL, 10) * 0x9e3779b97f4a7c15 + 1;
	page = (size_t)sysconf(_SC_PAGESIZE);
	for (int i = 0; i < FILES; i++)
		lengths[i] = -1;
	for (call = 0; call < CALLS; call++) {
		int which = (int)below(MAPPINGS);
		if (mappings[which].start == NULL)
			map(which);
		else if (below(8) == 0)
			unmap(which);
		else
			work(which);
	}
	return 0;
}
