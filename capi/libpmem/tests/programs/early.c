/* Uses the library before its constructor has run, and then in the directory of the first argument. */
#include <libpmem.h>
#include <string.h>
#include <unistd.h>

static char bytes[256];
static int copied;

static void use_early(void)
{
	copied = pmem_memcpy_persist(bytes, "early", 5) == bytes && pmem_is_pmem(bytes, 1) == 0;
	pmem_persist(bytes, sizeof(bytes));
}

__attribute__((section(".preinit_array"), used)) static void (*const before_libraries)(void) = use_early;

int main(int argc, char **argv)
{
	if (argc != 2 || chdir(argv[1]) != 0 || !copied || memcmp(bytes, "early", 6) != 0)
		return 1;
	return pmem_map_file("file", 4096, PMEM_FILE_CREATE, 0600, NULL, NULL) == NULL;
}
