/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * libpmem.h: the interface of libpmem.so.1 for C11 and C++17.
 *
 * Programs compiled with PMDK's header of this name run on this library, and vice versa. PMDK has had the message
 * functions since 2.1, and the others since 1.12.
 */
#ifndef LIBPMEM_H
#define LIBPMEM_H 1

#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the interface, for pmem_check_version. */
#define PMEM_MAJOR_VERSION 1
#define PMEM_MINOR_VERSION 1

/*
 * Returns NULL if the library provides this version of the interface, otherwise the reason. The text is valid until the
 * next failure in the thread.
 */
const char *pmem_check_version(unsigned major_required, unsigned minor_required);

/* Returns the message of the last failure in this thread, or an empty string. It is valid until the next failure. */
const char *pmem_errormsg(void);

/* ---- Mapped files ---- */

/* Flags of pmem_map_file. */
#define PMEM_FILE_CREATE (1 << 0)  /* create the file if it does not exist, and set its length */
#define PMEM_FILE_EXCL (1 << 1)    /* fail with EEXIST if it exists */
#define PMEM_FILE_SPARSE (1 << 2)  /* do not allocate its space */
#define PMEM_FILE_TMPFILE (1 << 3) /* create an unnamed file in the directory `path` */

/* The smallest length of a part of a PMDK pool. */
#define PMEM_MIN_PART ((size_t)(1024 * 1024 * 2))

/*
 * Maps a whole file or device for reading and writing. `len` is 0 or, with PMEM_FILE_CREATE, the new length of the file.
 * Stores the length of the mapping in `*mapped_lenp` and the result of pmem_is_pmem in `*is_pmemp`, unless these are
 * NULL. Returns the address, or NULL with errno.
 */
void *pmem_map_file(const char *path, size_t len, int flags, mode_t mode, size_t *mapped_lenp, int *is_pmemp);

/* Removes the mapping of whole pages. Returns 0, or -1 with errno. */
int pmem_unmap(void *addr, size_t len);

/*
 * Returns 1 if pmem_map_file mapped the whole range and pmem_persist makes it persistent; otherwise 0, and the range
 * needs pmem_msync.
 */
int pmem_is_pmem(const void *addr, size_t len);

/* ---- Persistence ---- */

/* Makes the stores to a range persistent: pmem_flush and pmem_drain. */
void pmem_persist(const void *addr, size_t len);

/* Issues the write-back of a range. */
void pmem_flush(const void *addr, size_t len);

/* Completes the write-backs of this thread. */
void pmem_drain(void);

/* Makes the kernel write back the pages of a range in any mapped file. Returns 0, or -1 with errno. */
int pmem_msync(const void *addr, size_t len);

/* Issues the write-back of a range even if the caches survive power loss. */
void pmem_deep_flush(const void *addr, size_t len);

/* Drains a range beyond the buffers of its memory. Returns 0, or -1 with errno. */
int pmem_deep_drain(const void *addr, size_t len);

/* Calls pmem_deep_flush and pmem_deep_drain. Returns 0, or -1 with errno. */
int pmem_deep_persist(const void *addr, size_t len);

/* Returns 1 if the CPU caches survive power loss wherever the machine has persistent memory, otherwise 0. */
int pmem_has_auto_flush(void);

/* Returns 0. */
int pmem_has_hw_drain(void);

/* ---- Copies ---- */

/* Flags of the copies. Those that name a method are hints. */
#define PMEM_F_MEM_NODRAIN (1U << 0)     /* do not drain */
#define PMEM_F_MEM_NONTEMPORAL (1U << 1) /* store past the caches */
#define PMEM_F_MEM_TEMPORAL (1U << 2)    /* store in the caches, and write back */
#define PMEM_F_MEM_WC (1U << 3)          /* same as PMEM_F_MEM_NONTEMPORAL */
#define PMEM_F_MEM_WB (1U << 4)          /* same as PMEM_F_MEM_TEMPORAL */
#define PMEM_F_MEM_NOFLUSH (1U << 5)     /* neither write back nor drain */
#define PMEM_F_MEM_VALID_FLAGS                                                                                         \
	(PMEM_F_MEM_NODRAIN | PMEM_F_MEM_NONTEMPORAL | PMEM_F_MEM_TEMPORAL | PMEM_F_MEM_WC | PMEM_F_MEM_WB |           \
	 PMEM_F_MEM_NOFLUSH)

/*
 * Copy `len` bytes between ranges that may overlap, or set them, and make them persistent unless the flags say
 * otherwise. Return `pmemdest`. A crash before the drain tears no aligned 8-byte word.
 */
void *pmem_memmove(void *pmemdest, const void *src, size_t len, unsigned flags);
void *pmem_memcpy(void *pmemdest, const void *src, size_t len, unsigned flags);
void *pmem_memset(void *pmemdest, int c, size_t len, unsigned flags);

/* The same with the flags 0. */
void *pmem_memmove_persist(void *pmemdest, const void *src, size_t len);
void *pmem_memcpy_persist(void *pmemdest, const void *src, size_t len);
void *pmem_memset_persist(void *pmemdest, int c, size_t len);

/* The same with the flag PMEM_F_MEM_NODRAIN. */
void *pmem_memmove_nodrain(void *pmemdest, const void *src, size_t len);
void *pmem_memcpy_nodrain(void *pmemdest, const void *src, size_t len);
void *pmem_memset_nodrain(void *pmemdest, int c, size_t len);

/* ---- Messages, since PMDK 2.1 ---- */

/* The levels of messages, the most severe first. */
enum pmem_log_level {
	PMEM_LOG_LEVEL_HARK,
	PMEM_LOG_LEVEL_FATAL,
	PMEM_LOG_LEVEL_ERROR,
	PMEM_LOG_LEVEL_WARNING,
	PMEM_LOG_LEVEL_NOTICE,
	PMEM_LOG_LEVEL_INFO,
	PMEM_LOG_LEVEL_DEBUG
};

/* The thresholds: the last level that the log function gets, and one that is kept for the function's own use. */
enum pmem_log_threshold { PMEM_LOG_THRESHOLD, PMEM_LOG_THRESHOLD_AUX };

/* A log function of the program. `file_name` and `function_name` are NULL if the place is unknown. */
typedef void pmem_log_function(enum pmem_log_level level, const char *file_name, unsigned line_no,
			       const char *function_name, const char *message);

/* For pmem_log_set_function: no function of the program. */
#define PMEM_LOG_USE_DEFAULT_FUNCTION (NULL)

/* Passes the messages of failures to a function of the program. Returns 0. */
int pmem_log_set_function(pmem_log_function *log_function);

/* Sets or reads a threshold. Returns 0, or 1 with errno. */
int pmem_log_set_threshold(enum pmem_log_threshold threshold, enum pmem_log_level value);
int pmem_log_get_threshold(enum pmem_log_threshold threshold, enum pmem_log_level *value);

#ifdef __cplusplus
}
#endif

#endif
