// The guard {{name}}: looks for words in what a model wrote, and flags, redacts or blocks it.
//
// Upper and lower case of ASCII letters are the same; all other characters must match exactly. A word is found inside
// a longer one too.
//
// The functions exports_… are those of wit/guard.wit; bindings/validator.h declares them.

#include "settings.h"

#include <stdlib.h>
#include <string.h>

static struct settings settings;

// Strings of the answer may lie anywhere: nothing is freed (see runtime/runtime.c).
static validator_string_t text_of(const char *text) {
  validator_string_t string;
  validator_string_set(&string, text);
  return string;
}

// "before", a number, "after".
static validator_string_t numbered(const char *before, size_t number, const char *after) {
  char digits[20];
  size_t from = sizeof digits;
  do digits[--from] = (char)('0' + number % 10); while (number /= 10);
  size_t first = strlen(before), second = sizeof digits - from, third = strlen(after);
  validator_string_t string = {malloc(first + second + third), first + second + third};
  memcpy(string.ptr, before, first);
  memcpy(string.ptr + first, digits + from, second);
  memcpy(string.ptr + first + second, after, third);
  return string;
}

void exports_picket_guard_validation_describe(exports_picket_guard_validation_descriptor_t *descriptor) {
  static exports_picket_guard_types_rule_t rule;
  rule.id = text_of("word");
  rule.summary = text_of("One of the words of the settings");
  rule.guarantee = EXPORTS_PICKET_GUARD_TYPES_GUARANTEE_HELD;
  descriptor->name = text_of("{{name}}");
  descriptor->version = text_of("0.1.0");
  descriptor->summary = text_of("Looks for words in what a model wrote");
  descriptor->settings_schema = text_of(
      "{\"type\":\"object\",\"required\":[\"words\",\"action\"],\"additionalProperties\":false,\"properties\":{"
      "\"words\":{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"string\",\"minLength\":1}},"
      "\"action\":{\"enum\":[\"flag\",\"redact\",\"block\"]}}}");
  descriptor->needs = EXPORTS_PICKET_GUARD_TYPES_PARTS_OUTPUT;
  descriptor->rules.ptr = &rule;
  descriptor->rules.len = 1;
}

// Called once. Every check starts from a copy of the memory that it leaves.
bool exports_picket_guard_validation_configure(validator_string_t *text,
                                               exports_picket_guard_validation_list_problem_t *problems) {
  if (!settings_read(text, &settings, problems)) return false;
  keep_memory();
  return true;
}

static uint8_t lower(uint8_t byte) { return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte; }

static bool begins_with(const uint8_t *text, size_t length, const validator_string_t *word) {
  if (length < word->len) return false;
  for (size_t i = 0; i < word->len; i++) {
    if (lower(text[i]) != lower(word->ptr[i])) return false;
  }
  return true;
}

// Adds to the verdict that bytes `start` to `end` of the text at `path` are word number `word`.
static void add(exports_picket_guard_types_verdict_t *verdict, validator_string_t path, size_t word, size_t start,
                size_t end) {
  exports_picket_guard_types_location_t location = {
      .part = EXPORTS_PICKET_GUARD_TYPES_PART_OUTPUT,
      .path = path,
      .span = {.is_some = true, .val = {.start = (uint32_t)start, .end = (uint32_t)end}},
  };
  exports_picket_guard_types_list_finding_t *findings = &verdict->findings;
  findings->ptr = grow(findings->ptr, findings->len, sizeof *findings->ptr);
  // A finding does not repeat what it found; the place in the list says enough.
  findings->ptr[findings->len++] = (exports_picket_guard_types_finding_t){
      .rule = text_of("word"),
      .severity = EXPORTS_PICKET_GUARD_TYPES_SEVERITY_MEDIUM,
      .message = numbered("word ", word + 1, " of the list"),
      .location = {.is_some = true, .val = location},
  };
  switch (settings.action) {
    case FLAG:
      verdict->decision.tag = EXPORTS_PICKET_GUARD_TYPES_DECISION_FLAG;
      break;
    case REDACT: {
      exports_picket_guard_types_list_edit_t *edits = &verdict->decision.val.redact;
      verdict->decision.tag = EXPORTS_PICKET_GUARD_TYPES_DECISION_REDACT;
      edits->ptr = grow(edits->ptr, edits->len, sizeof *edits->ptr);
      edits->ptr[edits->len++] = (exports_picket_guard_types_edit_t){location, text_of("[removed]")};
      break;
    }
    case BLOCK:
      verdict->decision.tag = EXPORTS_PICKET_GUARD_TYPES_DECISION_BLOCK;
      break;
  }
}

// Looks through one text. Of words that begin at the same place the first in the list counts; words that overlap an
// earlier one do not.
static void search(exports_picket_guard_types_verdict_t *verdict, validator_string_t path, validator_string_t text) {
  for (size_t at = 0; at < text.len;) {
    size_t word = 0;
    while (word < settings.count && !begins_with(text.ptr + at, text.len - at, &settings.words[word])) word++;
    if (word == settings.count) {
      at++;
      continue;
    }
    // UTF-8 that matches UTF-8 begins and ends on character borders, so the span needs no mending.
    add(verdict, path, word, at, at + settings.words[word].len);
    at += settings.words[word].len;
  }
}

bool exports_picket_guard_validation_check(exports_picket_guard_validation_inference_t *inference,
                                           exports_picket_guard_validation_verdict_t *verdict,
                                           validator_string_t *failure) {
  static exports_picket_guard_types_named_value_t matches;
  *verdict = (exports_picket_guard_types_verdict_t){0};
  if (inference->output.is_some) {
    exports_picket_guard_types_content_t *output = &inference->output.val;
    if (output->tag == EXPORTS_PICKET_GUARD_TYPES_CONTENT_TEXT) {
      search(verdict, text_of(""), output->val.text);
    } else if (output->tag == EXPORTS_PICKET_GUARD_TYPES_CONTENT_MESSAGES) {
      for (size_t i = 0; i < output->val.messages.len; i++) {
        search(verdict, numbered("/", i, ""), output->val.messages.ptr[i].content);
      }
    } else {
      // What it cannot read it does not wave through: the operator's `on_failure` decides.
      *failure = text_of("it reads texts and messages only");
      return false;
    }
  }
  matches.name = text_of("matches");
  matches.value.tag = EXPORTS_PICKET_GUARD_TYPES_SCALAR_INTEGER;
  matches.value.val.integer = (int64_t)verdict->findings.len;
  verdict->measurements.ptr = &matches;
  verdict->measurements.len = 1;
  return true;
}
