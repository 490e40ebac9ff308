/* Children of fork. While another thread of the parent makes its first call, a child makes the same call, and waits for
 * no thread that it lacks. A child forked during a growth closes the file. The usage is: forks FOLDER. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <cachemaint.h>

#include "check.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* The places at which a call stops while a child is forked. */
enum place { NOWHERE, ALLOCATIONS, RELEASES };

static __thread enum place place;
static sem_t reached, left;
static int has_ended;
static char paths[2][4096];

/* The addresses that a thread of the parent has released during its call. */
static void *released[1000];
static size_t releases;

static void stop_at(enum place here) {
    if (place != here)
        return;
    sem_post(&reached);
    sem_wait(&left);
}

BEGIN_C

void *__libc_malloc(size_t length);
void __libc_free(void *address);

/* Replaces the function of the C library. */
void *malloc(size_t length) NO_EXCEPTIONS {
    void *address;
    stop_at(ALLOCATIONS);
    address = __libc_malloc(length);
    for (size_t number = 0; number < releases; number++) {
        if (released[number] == address)
            released[number] = NULL;
    }
    return address;
}

/* Replaces the function of the C library, which does not detect every double release. */
void free(void *address) NO_EXCEPTIONS {
    if (place == RELEASES && address != NULL && releases < sizeof released / sizeof released[0]) {
        stop_at(RELEASES);
        released[releases++] = address;
    }
    for (size_t number = 0; place == NOWHERE && number < releases; number++)
        CHECK(address == NULL || released[number] != address);
    __libc_free(address);
}

END_C

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

static void open_first(void) {
    open_and_close(paths[0]);
}

static void open_second(void) {
    open_and_close(paths[1]);
}

static cachemaint_file *growing;

static void grow(void) {
    DONE(cachemaint_grow(growing, 3 * 4096));
}

static void close_growing(void) {
    DONE(cachemaint_close(growing));
}

/* A place, the parent's call that stops there, and the child's call. */
struct step {
    enum place place;
    void (*in_parent)(void), (*in_child)(void);
};

static void *call_with_stops(void *argument) {
    const struct step *step = (const struct step *)argument;
    place = step->place;
    step->in_parent();
    place = NOWHERE;
    has_ended = 1;
    sem_post(&reached);
    return NULL;
}

static void a_child_calls_while_its_parent_is_in_a_call(struct step step) {
    pthread_t thread;
    int children = 0;
    has_ended = 0;
    CHECK(pthread_create(&thread, NULL, call_with_stops, &step) == 0);
    for (sem_wait(&reached); !has_ended; sem_wait(&reached)) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            alarm(30);
            step.in_child();
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

static void a_child_makes_the_call_that_its_parent_is_in(void) {
    const struct step asking = {ALLOCATIONS, ask, ask}, opening = {ALLOCATIONS, open_first, open_second};
    a_child_calls_while_its_parent_is_in_a_call(asking);
    a_child_calls_while_its_parent_is_in_a_call(opening);
}

static void a_child_that_closes_a_growing_file_releases_nothing_twice(void) {
    const struct step growth = {RELEASES, grow, close_growing};
    DONE(cachemaint_open(paths[0], 4096, CACHEMAINT_ALLOW_PAGES, &growing));
    a_child_calls_while_its_parent_is_in_a_call(growth);
    releases = 0;
    DONE(cachemaint_close(growing));
}

/* Opens a file, and forks a child that closes it and then writes its process id. Both wait for a signal. */
static void hold_and_fork(int shown) {
    cachemaint_file *file;
    void *address;
    size_t length;
    pid_t child;
    DONE(cachemaint_open(paths[0], 0, CACHEMAINT_ALLOW_PAGES, &file));
    address = cachemaint_address(file);
    length = cachemaint_length(file);
    child = fork();
    if (child == 0) {
        DONE(cachemaint_close(file));
        /* User-mode emulation leaves the mapping in the child (madvise(2), MADV_DONTFORK), and with it the lock. */
        CHECK(munmap(address, length) == 0);
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
    a_child_makes_the_call_that_its_parent_is_in();
    a_child_that_closes_a_growing_file_releases_nothing_twice();
    a_child_that_closes_the_file_keeps_no_lock_of_a_killed_parent();
    return ended("forks");
}
