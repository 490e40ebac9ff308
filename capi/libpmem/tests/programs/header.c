/* The values of the header, which equal PMDK's: programs were compiled with them. */
#include <libpmem.h>

#include <assert.h>

#define CHECK(name, value) static_assert((name) == (value), "value")

CHECK(PMEM_MAJOR_VERSION, 1);
CHECK(PMEM_MINOR_VERSION, 1);
CHECK(PMEM_MIN_PART, 2097152);
CHECK(PMEM_FILE_CREATE, 1);
CHECK(PMEM_FILE_EXCL, 2);
CHECK(PMEM_FILE_SPARSE, 4);
CHECK(PMEM_FILE_TMPFILE, 8);
CHECK(PMEM_F_MEM_NODRAIN, 1U);
CHECK(PMEM_F_MEM_NONTEMPORAL, 2U);
CHECK(PMEM_F_MEM_TEMPORAL, 4U);
CHECK(PMEM_F_MEM_WC, 8U);
CHECK(PMEM_F_MEM_WB, 16U);
CHECK(PMEM_F_MEM_NOFLUSH, 32U);
CHECK(PMEM_F_MEM_VALID_FLAGS, 63U);
#ifdef PMEM_LOG_USE_DEFAULT_FUNCTION
CHECK(PMEM_LOG_LEVEL_HARK, 0);
CHECK(PMEM_LOG_LEVEL_FATAL, 1);
CHECK(PMEM_LOG_LEVEL_ERROR, 2);
CHECK(PMEM_LOG_LEVEL_WARNING, 3);
CHECK(PMEM_LOG_LEVEL_NOTICE, 4);
CHECK(PMEM_LOG_LEVEL_INFO, 5);
CHECK(PMEM_LOG_LEVEL_DEBUG, 6);
CHECK(PMEM_LOG_THRESHOLD, 0);
CHECK(PMEM_LOG_THRESHOLD_AUX, 1);
#endif

/* This does not compile if a function is not declared or has another type. */
typedef struct {
	const char *(*check_version)(unsigned, unsigned);
	const char *(*errormsg)(void);
	void *(*map_file)(const char *, size_t, int, mode_t, size_t *, int *);
	int (*unmap)(void *, size_t);
	int (*range[4])(const void *, size_t);
	void (*flush[3])(const void *, size_t);
	void (*drain)(void);
	int (*has[2])(void);
	void *(*copy[2])(void *, const void *, size_t, unsigned);
	void *(*set)(void *, int, size_t, unsigned);
	void *(*short_copy[4])(void *, const void *, size_t);
	void *(*short_set[2])(void *, int, size_t);
} functions;

const functions all = {
	pmem_check_version,
	pmem_errormsg,
	pmem_map_file,
	pmem_unmap,
	{pmem_is_pmem, pmem_msync, pmem_deep_drain, pmem_deep_persist},
	{pmem_persist, pmem_flush, pmem_deep_flush},
	pmem_drain,
	{pmem_has_auto_flush, pmem_has_hw_drain},
	{pmem_memmove, pmem_memcpy},
	pmem_memset,
	{pmem_memmove_persist, pmem_memcpy_persist, pmem_memmove_nodrain, pmem_memcpy_nodrain},
	{pmem_memset_persist, pmem_memset_nodrain},
};

int main(void)
{
	return 0;
}
