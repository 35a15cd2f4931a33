// What a guard needs of a C library, for a target that has none.
//
// Memory is an arena: allocating moves a mark up, freeing does nothing, and the end of a check moves the mark back to
// where `configure` left it. The host starts each check from a fresh copy of the memory in any case, so nothing ever
// leaks from one check into another.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 16, PAGE = 65536 };

// Where the linker lets the heap begin.
extern uint8_t __heap_base;

static uintptr_t top, kept;

static uintptr_t start(void) {
  return ((uintptr_t)&__heap_base + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1);
}

void *malloc(size_t size) {
  if (top == 0) top = kept = start();
  if (size > SIZE_MAX - top - 2 * ALIGNMENT) abort();
  // The size stands before the block, for `realloc`.
  uintptr_t block = top + ALIGNMENT;
  uintptr_t end = (block + size + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1);
  size_t pages = __builtin_wasm_memory_size(0);
  size_t needed = (end + PAGE - 1) / PAGE;
  // Refused by the host at the guard's memory limit; the trap is recorded as such.
  if (needed > pages && __builtin_wasm_memory_grow(0, needed - pages) == SIZE_MAX) abort();
  *(size_t *)top = size;
  top = end;
  return (void *)block;
}

void *realloc(void *old, size_t size) {
  void *block = malloc(size);
  if (old) {
    size_t before = *(size_t *)((uintptr_t)old - ALIGNMENT);
    memcpy(block, old, before < size ? before : size);
  }
  return block;
}

void *grow(void *list, size_t length, size_t element) {
  if (length & (length - 1)) return list;
  size_t room = length ? 2 * length : 1;
  if (room > SIZE_MAX / element) abort();
  return realloc(list, room * element);
}

void free(void *pointer) { (void)pointer; }

void abort(void) { __builtin_trap(); }

void keep_memory(void) { kept = top; }

// Takes the place of the one in bindings/validator.c, which would free each part of the verdict.
__attribute__((__export_name__("cabi_post_picket:guard/validation@0.1.0#check")))
void __wasm_export_exports_picket_guard_validation_check_post_return(uint8_t *verdict) {
  (void)verdict;
  top = kept;
}

// The compiler is told to leave these loops alone (-fno-builtin): it would make each of them a call of itself.
void *memmove(void *to, const void *from, size_t size) {
  uint8_t *target = to;
  const uint8_t *source = from;
  if (target < source) {
    for (size_t i = 0; i < size; i++) target[i] = source[i];
  } else {
    for (size_t i = size; i > 0; i--) target[i - 1] = source[i - 1];
  }
  return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
  uint8_t *target = to;
  const uint8_t *source = from;
  for (size_t i = 0; i < size; i++) target[i] = source[i];
  return to;
}

void *memset(void *at, int byte, size_t size) {
  uint8_t *target = at;
  for (size_t i = 0; i < size; i++) target[i] = (uint8_t)byte;
  return at;
}

int memcmp(const void *left, const void *right, size_t size) {
  const uint8_t *a = left, *b = right;
  for (size_t i = 0; i < size; i++) {
    if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
  }
  return 0;
}

size_t strlen(const char *text) {
  size_t length = 0;
  while (text[length]) length++;
  return length;
}

// bindings/validator.c asks for it to link an object file with the world; `picket guard build` adds the world itself.
void __component_type_object_force_link_validator(void) {}
