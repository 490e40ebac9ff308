/* The marks of lab/mark for programs in C: the emulator's plugin watches a range, and writes a verdict on it. */
#include <stddef.h>
#include <stdint.h>

static inline void mark_watch(const void *address, size_t len)
{
#if defined(__x86_64__)
	__asm__ volatile(".byte 0x0f, 0x1f, 0x84, 0x00; .long 0x6d630001" : : "D"(address), "S"(len) : "memory");
#elif defined(__aarch64__)
	register uint64_t first __asm__("x0") = (uint64_t)address;
	register uint64_t second __asm__("x1") = len;
	__asm__ volatile("movz xzr, #0x6d01" : : "r"(first), "r"(second) : "memory");
#endif
}

static inline void mark_verdict(uint64_t number)
{
#if defined(__x86_64__)
	__asm__ volatile(".byte 0x0f, 0x1f, 0x84, 0x00; .long 0x6d630002" : : "D"(number), "S"(0ul) : "memory");
#elif defined(__aarch64__)
	register uint64_t first __asm__("x0") = number;
	register uint64_t second __asm__("x1") = 0;
	__asm__ volatile("movz xzr, #0x6d02" : : "r"(first), "r"(second) : "memory");
#endif
}
