// The settings of the guard, read from JSON.
#ifndef SETTINGS_H
#define SETTINGS_H
#include "validator.h"

enum action { FLAG, REDACT, BLOCK };

struct settings {
  validator_string_t *words;
  size_t count;
  enum action action;
};

// Reads `text`. False when there are mistakes, which are then in `problems`.
bool settings_read(const validator_string_t *text, struct settings *settings,
                   exports_picket_guard_validation_list_problem_t *problems);

#endif
