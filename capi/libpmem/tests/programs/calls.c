/*
 * Calls every function with every kind of argument, in the directory of the first argument, and prints a line for each
 * call. PMDK's library prints the same lines.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libpmem.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE ((size_t)sysconf(_SC_PAGESIZE))
#define MIB ((size_t)1 << 20)

/* PMDK 1.12 has none of these functions. */
#pragma weak pmem_log_set_function
#pragma weak pmem_log_set_threshold
#pragma weak pmem_log_get_threshold

static const char *error(void)
{
	const char *name = strerrorname_np(errno);
	return name == NULL ? "unknown" : name;
}

static const char *message(void)
{
	return pmem_errormsg()[0] == 0 ? "no message" : "message";
}

/* Prints the type, mode, length and allocation of a file. */
static void show_file(const char *path)
{
	struct stat status;
	if (path == NULL || lstat(path, &status) != 0)
		printf(" file none");
	else if (S_ISREG(status.st_mode))
		printf(" file %o %lld%s", (unsigned)status.st_mode, (long long)status.st_size,
		       status.st_blocks == 0 ? " empty" : "");
	else
		printf(" file %o", (unsigned)status.st_mode);
}

static void *map(const char *name, const char *path, size_t len, int flags, mode_t mode, size_t *mapped)
{
	size_t got = 12345;
	int is_pmem = 12345;
	errno = 0;
	void *start = pmem_map_file(path, len, flags, mode, &got, &is_pmem);
	printf("map %s:", name);
	if (start == NULL)
		printf(" %s %s", error(), message());
	else
		printf(" mapped, place %s", (uintptr_t)start % (2 * MIB) == 0 ? "aligned" : "not aligned");
	printf(" len %zu is_pmem %d", got, is_pmem);
	show_file(path);
	printf("\n");
	if (mapped != NULL)
		*mapped = got;
	return start;
}

static void map_and_unmap(const char *name, const char *path, size_t len, int flags, mode_t mode)
{
	size_t mapped;
	char *start = map(name, path, len, flags, mode, &mapped);
	if (start == NULL)
		return;
	start[mapped - 1] = 7;
	printf("unmap %s: %d\n", name, pmem_unmap(start, mapped));
}

static void result(const char *name, int value)
{
	printf("%s: %d", name, value);
	if (value != 0)
		printf(" %s %s", error(), message());
	printf("\n");
}

static void maps(void)
{
	char name[5000];
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	close(open("file", O_CREAT | O_RDWR, 0600));
	if (truncate("file", (off_t)(3 * PAGE + 5)) != 0 || symlink("file", "link") != 0 ||
	    symlink("target", "dangling") != 0 || symlink("loop", "loop") != 0 || mkdir("directory", 0700) != 0 ||
	    mkfifo("fifo", 0600) != 0)
		abort();
	close(open("empty", O_CREAT | O_RDWR, 0600));
	const int create = PMEM_FILE_CREATE, excl = PMEM_FILE_EXCL, sparse = PMEM_FILE_SPARSE, tmp = PMEM_FILE_TMPFILE;

	map("null path", NULL, 0, 0, 0600, NULL);
	map("null path with wrong flags", NULL, 1, 0x100, 0600, NULL);
	map("empty path", "", 0, 0, 0600, NULL);
	map("missing file", "missing", 0, 0, 0600, NULL);
	map("missing directory", "missing/file", PAGE, create, 0600, NULL);
	map("file as directory", "file/file", PAGE, create, 0600, NULL);
	map("directory", "directory", 0, 0, 0600, NULL);
	map("created directory", "directory", PAGE, create, 0600, NULL);
	map("long name", name, 0, 0, 0600, NULL);
	map("loop", "loop", 0, 0, 0600, NULL);
	map("fifo", "fifo", 0, 0, 0600, NULL);
	map("character device", "/dev/null", 0, 0, 0600, NULL);
	map("undefined flag", "file", 0, 0x10, 0600, NULL);
	map("negative flags", "file", 0, -1, 0600, NULL);
	map("undefined flag and missing file", "missing", 0, 0x10, 0600, NULL);
	map("length without create", "file", PAGE, 0, 0600, NULL);
	map("length with excl alone", "file", PAGE, excl, 0600, NULL);
	map("length with sparse alone", "file", PAGE, sparse, 0600, NULL);
	map("create without length", "file", 0, create, 0600, NULL);
	map("create a new one without length", "new", 0, create, 0600, NULL);
	map("tmpfile without create", "directory", 0, tmp, 0600, NULL);
	map("length and tmpfile without create", "directory", PAGE, tmp, 0600, NULL);
	map("too long", "new", SIZE_MAX / 2 + 1, create, 0600, NULL);
	map("far too long", "new", SIZE_MAX, create | sparse, 0600, NULL);
	map("empty file", "empty", 0, 0, 0600, NULL);
	map_and_unmap("file", "file", 0, 0, 0600);
	map_and_unmap("file with excl", "file", 0, excl, 0600);
	map_and_unmap("file with sparse", "file", 0, sparse, 0600);
	map_and_unmap("link", "link", 0, 0, 0600);
	map("dangling link", "dangling", 0, 0, 0600, NULL);
	map("dangling link with excl", "dangling", PAGE, create | excl, 0600, NULL);
	map_and_unmap("created by a dangling link", "dangling", PAGE, create, 0600);
	map_and_unmap("created target", "target", 0, 0, 0600);
	map_and_unmap("created", "new", 2 * PAGE, create, 0666);
	map_and_unmap("created again, longer", "new", 4 * PAGE + 1, create, 0600);
	map_and_unmap("created again, shorter", "new", 1, create, 0600);
	map("created again with excl", "new", PAGE, create | excl, 0600, NULL);
	map_and_unmap("created with excl", "excl", PAGE, create | excl, 0640);
	map_and_unmap("created sparse", "sparse", 64 * MIB, create | sparse, 0777);
	map_and_unmap("created with all", "directory", PAGE, create | excl | sparse | tmp, 0777);
	map_and_unmap("unnamed", "directory", 3 * PAGE, create | tmp, 0777);
	map("unnamed in a file", "file", PAGE, create | tmp, 0600, NULL);
	map("unnamed in a missing directory", "missing", PAGE, create | tmp, 0600, NULL);
	map_and_unmap("allocated", "allocated", 8 * MIB, create, 0600);

	errno = 0;
	void *start = pmem_map_file("file", 0, 0, 0, NULL, NULL);
	printf("map without results: %s\n", start != NULL ? "mapped" : error());
	pmem_unmap(start, 3 * PAGE + 5);
}

/* Failures after a file was opened or created. */
static void limits(void)
{
	const int create = PMEM_FILE_CREATE, excl = PMEM_FILE_EXCL, sparse = PMEM_FILE_SPARSE, tmp = PMEM_FILE_TMPFILE;
	struct rlimit file = {MIB, RLIM_INFINITY}, space, none = {RLIM_INFINITY, RLIM_INFINITY};
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &file);
	map("too large for the limit", "limit", 2 * MIB, create, 0600, NULL);
	map("too large for the limit, excl", "limit-excl", 2 * MIB, create | excl, 0600, NULL);
	map("too large for the limit, unnamed", "directory", 2 * MIB, create | excl | tmp, 0600, NULL);
	map("longer than the limit", "new", 2 * MIB, create, 0600, NULL);
	setrlimit(RLIMIT_FSIZE, &none);

	getrlimit(RLIMIT_AS, &space);
	struct rlimit less = {(size_t)1 << 30, space.rlim_max};
	setrlimit(RLIMIT_AS, &less);
	map("no addresses", "addresses", (size_t)1 << 31, create | sparse, 0600, NULL);
	map("no addresses, excl", "addresses-excl", (size_t)1 << 31, create | excl | sparse, 0600, NULL);
	setrlimit(RLIMIT_AS, &space);

	struct rlimit files, few;
	getrlimit(RLIMIT_NOFILE, &files);
	few = files;
	few.rlim_cur = 0;
	setrlimit(RLIMIT_NOFILE, &few);
	map("no descriptors", "file", 0, 0, 0600, NULL);
	map("no descriptors, created", "descriptors", PAGE, create, 0600, NULL);
	setrlimit(RLIMIT_NOFILE, &files);

	int before = dup(0);
	close(before);
	map_and_unmap("for descriptors", "file", 0, 0, 0600);
	map("for descriptors that fail", "empty", 0, 0, 0600, NULL);
	int after = dup(0);
	close(after);
	printf("descriptors left open: %d\n", after - before);
}

static int is_mapped(char *page)
{
	unsigned char state;
	return mincore(page, 1, &state) == 0;
}

static void unmaps(void)
{
	size_t len;
	char *start = map("for unmap", "unmap", 8 * PAGE, PMEM_FILE_CREATE, 0600, &len);
	result("unmap of nothing", pmem_unmap(start, 0));
	result("unmap of an address in a page", pmem_unmap(start + 1, PAGE));
	result("unmap of null", pmem_unmap(NULL, 0));
	result("unmap of everything", pmem_unmap(start, SIZE_MAX));
	result("unmap in the middle", pmem_unmap(start + 3 * PAGE, 2 * PAGE - 1));
	for (int page = 0; page < 8; page++)
		printf("page %d mapped: %d\n", page, is_mapped(start + (size_t)page * PAGE));
	result("msync over a hole", pmem_msync(start, 8 * PAGE));
	result("msync before a hole", pmem_msync(start + 1, 3 * PAGE - 1));
	result("msync in a page", pmem_msync(start + PAGE + 7, 1));
	result("msync of nothing", pmem_msync(start + PAGE, 0));
	result("msync of a hole", pmem_msync(start + 3 * PAGE, 1));
	result("msync of null", pmem_msync(NULL, 1));
	result("msync of everything", pmem_msync(start, SIZE_MAX));
	result("deep drain over a hole", pmem_deep_drain(start, 8 * PAGE));
	result("deep drain before a hole", pmem_deep_drain(start + 1, 3 * PAGE - 1));
	result("deep drain of nothing in a hole", pmem_deep_drain(start + 3 * PAGE, 0));
	result("deep drain of null", pmem_deep_drain(NULL, 1));
	result("deep persist", pmem_deep_persist(start + 100, PAGE));
	result("deep persist of nothing", pmem_deep_persist(start, 0));
	printf("is_pmem of a mapping: %d\n", pmem_is_pmem(start, PAGE));
	printf("is_pmem of nothing: %d\n", pmem_is_pmem(start, 0));
	printf("is_pmem of a hole: %d\n", pmem_is_pmem(start + 3 * PAGE, PAGE));
	printf("is_pmem of the stack: %d\n", pmem_is_pmem(&len, sizeof(len)));
	printf("is_pmem of null: %d\n", pmem_is_pmem(NULL, 1));
	printf("is_pmem of everything: %d\n", pmem_is_pmem(NULL, SIZE_MAX));
	printf("is_pmem over the end: %d\n", pmem_is_pmem(start, SIZE_MAX));
	result("unmap of the rest", pmem_unmap(start, len));
	result("unmap again", pmem_unmap(start, len));
	printf("page 7 mapped: %d\n", is_mapped(start + 7 * PAGE));
}

/* Compares copies and fills with those of the C library, at all offsets within a few words. */
static void copies(unsigned flags)
{
	static unsigned char source[24576], ours[24576], theirs[24576];
	static const size_t lens[] = {0, 1, 7, 8, 9, 63, 64, 65, 127, 255, 256, 257, 512, 1000, 4096, 4103, 9000};
	unsigned wrong = 0;
	for (size_t i = 0; i < sizeof(source); i++)
		source[i] = (unsigned char)(i * 31 + i / 251);
	for (size_t which = 0; which < sizeof(lens) / sizeof(*lens); which++)
		for (size_t to = 64; to < 64 + 65; to += 13)
			for (size_t from = 64; from < 64 + 65; from += 9) {
				size_t len = lens[which];
				memcpy(ours, source, sizeof(ours));
				memcpy(theirs, source, sizeof(ours));
				memmove(theirs + to, theirs + from, len);
				memmove(theirs + to + 9100, source + from, len);
				memset(theirs + to + 18300 % 5000, 0x1a5, len % 700);
				wrong += pmem_memmove(ours + to, ours + from, len, flags) != ours + to;
				wrong += pmem_memcpy(ours + to + 9100, source + from, len, flags) != ours + to + 9100;
				wrong += pmem_memset(ours + to + 18300 % 5000, 0x1a5, len % 700, flags) !=
					 ours + to + 18300 % 5000;
				wrong += memcmp(ours, theirs, sizeof(ours)) != 0;
			}
	printf("copies with flags %u: %u wrong\n", flags, wrong);
}

static void short_copies(void)
{
	unsigned char bytes[64];
	unsigned wrong = 0;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)i;
	wrong += pmem_memmove_persist(bytes + 1, bytes, 8) != bytes + 1 || bytes[1] != 0 || bytes[8] != 7;
	wrong += pmem_memcpy_persist(bytes + 20, bytes + 1, 3) != bytes + 20 || bytes[22] != 2;
	wrong += pmem_memset_persist(bytes + 30, -1, 5) != bytes + 30 || bytes[34] != 255 || bytes[35] != 35;
	wrong += pmem_memmove_nodrain(bytes + 40, bytes + 41, 5) != bytes + 40 || bytes[44] != 45;
	wrong += pmem_memcpy_nodrain(bytes + 50, bytes + 1, 3) != bytes + 50 || bytes[52] != 2;
	wrong += pmem_memset_nodrain(bytes + 55, 9, 2) != bytes + 55 || bytes[56] != 9 || bytes[57] != 57;
	pmem_drain();
	pmem_flush(bytes, sizeof(bytes));
	pmem_flush(bytes, 0);
	pmem_persist(bytes + 3, 1);
	pmem_persist(NULL, 0);
	pmem_deep_flush(bytes, sizeof(bytes));
	printf("short copies: %u wrong\n", wrong);
}

static void *message_of_thread(void *unused)
{
	printf("first message of a thread: \"%s\"\n", pmem_errormsg());
	return unused;
}

static unsigned logged;

static void log_function(enum pmem_log_level level, const char *file, unsigned line, const char *function,
			 const char *text)
{
	(void)line;
	if (level == PMEM_LOG_LEVEL_ERROR && (file == NULL || function != NULL) && strcmp(text, pmem_errormsg()) == 0)
		logged++;
}

static void logs(void)
{
	enum pmem_log_level level = PMEM_LOG_LEVEL_DEBUG;
	if (pmem_log_set_function == NULL) {
		printf("log functions: none\n");
		return;
	}
	printf("log functions: there\n");
	result("log threshold", pmem_log_get_threshold(PMEM_LOG_THRESHOLD, &level));
	printf("log threshold at first: %d\n", (int)level);
	result("log threshold aux", pmem_log_get_threshold(PMEM_LOG_THRESHOLD_AUX, &level));
	printf("log threshold aux at first: %d\n", (int)level);
	result("log threshold of none", pmem_log_get_threshold((enum pmem_log_threshold)2, &level));
	result("log threshold to null", pmem_log_get_threshold(PMEM_LOG_THRESHOLD, NULL));
	result("log threshold below", pmem_log_set_threshold(PMEM_LOG_THRESHOLD, (enum pmem_log_level)-1));
	result("log threshold above", pmem_log_set_threshold(PMEM_LOG_THRESHOLD, (enum pmem_log_level)7));
	result("log threshold fatal", pmem_log_set_threshold(PMEM_LOG_THRESHOLD, PMEM_LOG_LEVEL_FATAL));
	result("log function", pmem_log_set_function(log_function));
	map("not logged", "missing", 0, 0, 0600, NULL);
	result("log threshold error", pmem_log_set_threshold(PMEM_LOG_THRESHOLD, PMEM_LOG_LEVEL_ERROR));
	map("logged", "missing", 0, 0, 0600, NULL);
	result("no log function", pmem_log_set_function(PMEM_LOG_USE_DEFAULT_FUNCTION));
	printf("messages logged: %u\n", logged);
}

static void versions(void)
{
	const unsigned asked[][2] = {{1, 0}, {1, 1}, {1, 2}, {0, 0}, {0, 9}, {2, 0}, {~0U, ~0U}};
	for (size_t i = 0; i < sizeof(asked) / sizeof(*asked); i++) {
		const char *reason = pmem_check_version(asked[i][0], asked[i][1]);
		printf("version %u.%u: %s\n", asked[i][0], asked[i][1],
		       reason == NULL ? "there" : strcmp(reason, pmem_errormsg()) == 0 ? "reason" : "other text");
	}
}

int main(int argc, char **argv)
{
	if (argc != 2 || chdir(argv[1]) != 0)
		return 2;
	umask(022);
	printf("message at first: \"%s\"\n", pmem_errormsg());
	maps();
	limits();
	unmaps();
	for (unsigned flags = 0; flags < 128; flags++)
		copies(flags);
	short_copies();
	versions();
	pthread_t thread;
	if (pthread_create(&thread, NULL, message_of_thread, NULL) != 0 || pthread_join(thread, NULL) != 0)
		return 2;
	printf("message at last: %s\n", message());
	printf("auto flush %d, drain of the machine %d\n", pmem_has_auto_flush(), pmem_has_hw_drain());
	logs();
	return 0;
}
