/* Errors that the system causes, and their messages. The usage is: errors FOLDER, which is an empty one. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <cachemaint.h>

#include "check.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LENGTH ((size_t)1 << 16)

static char path[4096];

/* The number of calls that fail from now on. */
static int failing_syncs;

#ifdef __cplusplus
extern "C"
#endif
/* Takes the place of the C library's. */
int fsync(int descriptor) {
    if (failing_syncs == 0)
        return (int)syscall(SYS_fsync, descriptor);
    failing_syncs -= 1;
    errno = EIO;
    return -1;
}

static cachemaint_file *opened(void) {
    cachemaint_file *file = NULL;
    DONE(cachemaint_open(path, LENGTH, CACHEMAINT_CREATE | CACHEMAINT_ALLOW_PAGES, &file));
    if (file == NULL)
        exit(ended("errors"));
    return file;
}

/* The message has the loss and an action, after the words of the system. */
static void check_loss(void) {
    CHECK(cachemaint_error_errno() == EIO);
    CHECK(strstr(cachemaint_error_message(), "may be lost") != NULL);
    CHECK(strstr(cachemaint_error_message(), "check the device") != NULL);
}

static void a_failed_sync_of_an_opening_is_a_failed_write_back(void) {
    cachemaint_file *file = opened();
    DONE(cachemaint_close(file));
    failing_syncs = 1;
    REFUSED(cachemaint_open(path, LENGTH, CACHEMAINT_ALLOW_PAGES, &file), CACHEMAINT_WRITEBACK_FAILED);
    check_loss();
    CHECK(failing_syncs == 0);
}

/* A growth to the length that the file has syncs it too. */
static void a_failed_sync_of_a_growth_is_a_failed_write_back(void) {
    for (uint64_t length = LENGTH; length <= 2 * LENGTH; length += LENGTH) {
        cachemaint_file *file = opened();
        failing_syncs = 1;
        REFUSED(cachemaint_grow(file, length), CACHEMAINT_WRITEBACK_FAILED);
        check_loss();
        CHECK(failing_syncs == 0);
        CHECK(cachemaint_length(file) == LENGTH);
        REFUSED(cachemaint_taint(file), CACHEMAINT_WRITEBACK_FAILED);
        DONE(cachemaint_close(file));
    }
}

int main(int count, char **arguments) {
    if (count != 2)
        return 2;
    snprintf(path, sizeof path, "%s/file", arguments[1]);
    a_failed_sync_of_an_opening_is_a_failed_write_back();
    a_failed_sync_of_a_growth_is_a_failed_write_back();
    return ended("errors");
}
