/* Checks of the test programs. Each prints what failed, and the program continues. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <string.h>

static int failures;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s is false (last error: %s)\n", __FILE__, __LINE__, #condition,                    \
                    cachemaint_error_message());                                                                       \
            failures += 1;                                                                                             \
        }                                                                                                              \
    } while (0)

/* A call that must return an error and explain it. */
#define REFUSED(call, error)                                                                                           \
    do {                                                                                                               \
        int returned = (call);                                                                                         \
        if (returned != (error) || strlen(cachemaint_error_message()) == 0) {                                          \
            fprintf(stderr, "%s:%d: %s returned %d and not %s (last error: %s)\n", __FILE__, __LINE__, #call, returned, \
                    #error, cachemaint_error_message());                                                               \
            failures += 1;                                                                                             \
        }                                                                                                              \
    } while (0)

#define DONE(call) CHECK((call) == CACHEMAINT_OK)

/* For functions that replace those of the C library. */
#ifdef __cplusplus
#define BEGIN_C extern "C" {
#define END_C }
#define NO_EXCEPTIONS noexcept
#else
#define BEGIN_C
#define END_C
#define NO_EXCEPTIONS
#endif

/* Returns the exit status. */
static int ended(const char *name) {
    printf("test result: %s. %d passed; %d failed; 0 ignored; %s\n", failures ? "FAILED" : "ok", failures ? 0 : 1,
           failures ? 1 : 0, name);
    return failures ? 1 : 0;
}

#endif
