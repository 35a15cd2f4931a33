// The part of <stdlib.h> that guards have; see runtime.c.
#ifndef GUARD_STDLIB_H
#define GUARD_STDLIB_H
#include <stddef.h>

void *malloc(size_t size);
void *realloc(void *old, size_t size);
void free(void *pointer);
_Noreturn void abort(void);

// Room for one more element in a list of `length` elements that was only ever grown so; twice the room each time.
void *grow(void *list, size_t length, size_t element);

// What has been allocated up to now stays; everything later is given back when a check has been answered.
// Call it at the end of `configure`.
void keep_memory(void);

#endif
