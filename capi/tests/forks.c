/* Children of fork. A child that is forked while another thread of its parent makes its first call makes the same call, and
 * waits for no thread that it does not have. The usage is: forks FOLDER. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <cachemaint.h>

#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The places at which a call stops, so that a child is forked there. */
enum place { NOWHERE, ALLOCATIONS, OPENED_FILES };

static __thread enum place place;
static sem_t reached, left;
static int has_ended;
static char paths[2][4096];

static void stop_at(enum place here) {
    if (place != here)
        return;
    sem_post(&reached);
    sem_wait(&left);
}

#ifdef __cplusplus
#define NO_EXCEPTIONS noexcept
extern "C" {
#else
#define NO_EXCEPTIONS
#endif

void *__libc_malloc(size_t length);

/* Takes the place of the C library's. */
void *malloc(size_t length) NO_EXCEPTIONS {
    stop_at(ALLOCATIONS);
    return __libc_malloc(length);
}

/* Takes the place of the C library's, by which the library opens the kernel's files. */
int open64(const char *path, int flags, ...) {
    stop_at(OPENED_FILES);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0600);
}

#ifdef __cplusplus
}
#endif

static void ask(void) {
    struct cachemaint_host host;
    int error = cachemaint_get_host(&host, sizeof host);
    CHECK(error == CACHEMAINT_OK || error == CACHEMAINT_UNSUPPORTED);
}

static void open_and_close(const char *path) {
    cachemaint_file *file;
    DONE(cachemaint_open(path, 4096, CACHEMAINT_CREATE | CACHEMAINT_ALLOW_PAGES, &file));
    DONE(cachemaint_close(file));
}

static void call(enum place stops, const char *path) {
    if (stops == ALLOCATIONS)
        ask();
    else
        open_and_close(path);
}

static void *call_with_stops(void *stops) {
    place = *(enum place *)stops;
    call(place, paths[0]);
    place = NOWHERE;
    has_ended = 1;
    sem_post(&reached);
    return NULL;
}

static void a_child_makes_the_call_that_its_parent_is_in(enum place stops) {
    pthread_t thread;
    int children = 0;
    has_ended = 0;
    CHECK(pthread_create(&thread, NULL, call_with_stops, &stops) == 0);
    for (sem_wait(&reached); !has_ended; sem_wait(&reached)) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            alarm(30);
            call(stops, paths[1]);
            _exit(failures);
        }
        CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
        if (failures)
            exit(ended("forks"));
        children += 1;
        sem_post(&left);
    }
    CHECK(children > 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

/* Opens a file, and forks a child that closes it and shows its number when it has. Both wait for a signal. */
static void hold_and_fork(int shown) {
    cachemaint_file *file;
    void *address;
    pid_t child;
    DONE(cachemaint_open(paths[0], 0, CACHEMAINT_ALLOW_PAGES, &file));
    address = cachemaint_address(file);
    child = fork();
    if (child == 0) {
        /* User-mode emulation leaves the mapping to the child (madvise(2), MADV_DONTFORK), and it keeps the lock too. */
        CHECK(munmap(address, 4096) == 0);
        DONE(cachemaint_close(file));
        child = failures ? 0 : getpid();
        CHECK(write(shown, &child, sizeof child) == sizeof child);
    }
    alarm(30);
    for (;;)
        pause();
}

static void a_child_that_closes_the_file_keeps_no_lock_of_a_killed_parent(void) {
    int ends[2], status;
    pid_t parent, child = 0;
    cachemaint_file *file;
    CHECK(pipe(ends) == 0);
    parent = fork();
    if (parent == 0) {
        close(ends[0]);
        hold_and_fork(ends[1]);
    }
    close(ends[1]);
    CHECK(read(ends[0], &child, sizeof child) == sizeof child && child > 0);
    REFUSED(cachemaint_open(paths[0], 0, CACHEMAINT_ALLOW_PAGES, &file), CACHEMAINT_LOCKED);
    CHECK(kill(parent, SIGKILL) == 0 && waitpid(parent, &status, 0) == parent);
    DONE(cachemaint_open(paths[0], 0, CACHEMAINT_ALLOW_PAGES, &file));
    DONE(cachemaint_close(file));
    if (child > 0)
        CHECK(kill(child, SIGKILL) == 0);
    close(ends[0]);
}

int main(int count, char **arguments) {
    if (count != 2)
        return 2;
    for (int i = 0; i < 2; i++)
        snprintf(paths[i], sizeof paths[i], "%s/file-%d", arguments[1], i);
    if (sem_init(&reached, 0, 0) != 0 || sem_init(&left, 0, 0) != 0)
        return 2;
    a_child_makes_the_call_that_its_parent_is_in(ALLOCATIONS);
    a_child_makes_the_call_that_its_parent_is_in(OPENED_FILES);
    a_child_that_closes_the_file_keeps_no_lock_of_a_killed_parent();
    return ended("forks");
}
