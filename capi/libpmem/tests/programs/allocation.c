/*
 * Creates a file of 5 MiB in the directory of the first argument, while an allocation of more than 1 MiB at a time is
 * interrupted or has no memory. Exits with 1 if the file is not created, or has holes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libpmem.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEN ((off_t)5 << 20)

static unsigned refused;

/* Replaces the function of the C library, also for libpmem. */
int posix_fallocate(int fd, off_t offset, off_t len)
{
	if (len > (off_t)1 << 20 && ++refused)
		return len > (off_t)4 << 20 ? ENOMEM : EINTR;
	return fallocate(fd, 0, offset, len) == 0 ? 0 : errno;
}

int main(int argc, char **argv)
{
	struct stat status;
	if (argc < 2 || chdir(argv[1]) != 0)
		return 2;
	if (pmem_map_file("file", (size_t)LEN, PMEM_FILE_CREATE, 0600, NULL, NULL) == NULL)
		return 1;
	return refused == 0 || stat("file", &status) != 0 || status.st_size != LEN || status.st_blocks < LEN / 512;
}
