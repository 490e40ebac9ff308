/*
 * Sets a log function. It must receive the name of the library first, and then each message that the library keeps for
 * pmem_errormsg. Exits with 1 otherwise.
 */
#include <libpmem.h>
#include <string.h>

static unsigned names, errors;

static void log_function(enum pmem_log_level level, const char *file, unsigned line, const char *function,
			 const char *text)
{
	(void)file, (void)line, (void)function;
	if (level == PMEM_LOG_LEVEL_HARK && strstr(text, "cachemaint") != NULL)
		names++;
	if (level == PMEM_LOG_LEVEL_ERROR && strcmp(text, pmem_errormsg()) == 0)
		errors++;
}

int main(void)
{
	if (pmem_log_set_function(log_function) != 0 || names != 1 || errors != 0)
		return 1;
	return pmem_check_version(2, 0) == NULL || names != 1 || errors != 1;
}
