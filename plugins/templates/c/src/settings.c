#include "settings.h"

#include <stdlib.h>
#include <string.h>

// Nested deeper than this, a value is refused: each level is a call, and the stack is small.
enum { MAX_DEPTH = 32 };

typedef exports_picket_guard_validation_list_problem_t problems_t;

struct reader {
  const uint8_t *at, *end;
};

static void problem(problems_t *problems, const char *before, const char *last, size_t length, const char *message) {
  problems->ptr = grow(problems->ptr, problems->len, sizeof *problems->ptr);
  exports_picket_guard_validation_problem_t *added = &problems->ptr[problems->len++];
  size_t first = strlen(before);
  added->pointer.len = first + length;
  added->pointer.ptr = malloc(first + length);
  memcpy(added->pointer.ptr, before, first);
  memcpy(added->pointer.ptr + first, last, length);
  validator_string_dup(&added->message, message);
}

static void skip_space(struct reader *reader) {
  while (reader->at < reader->end && (*reader->at == ' ' || (*reader->at >= '\t' && *reader->at <= '\r'))) reader->at++;
}

// Takes `character` if it comes next.
static bool take(struct reader *reader, char character) {
  skip_space(reader);
  if (reader->at == reader->end || *reader->at != (uint8_t)character) return false;
  reader->at++;
  return true;
}

static bool read_hex(struct reader *reader, uint32_t *value) {
  if (reader->end - reader->at < 4) return false;
  *value = 0;
  for (int i = 0; i < 4; i++) {
    uint8_t digit = *reader->at++, lower = digit | 0x20;
    if (digit >= '0' && digit <= '9') *value = *value * 16 + (digit - '0');
    else if (lower >= 'a' && lower <= 'f') *value = *value * 16 + (lower - 'a' + 10);
    else return false;
  }
  return true;
}

static size_t write_utf8(uint8_t *to, uint32_t code) {
  if (code < 0x80) return to[0] = (uint8_t)code, 1;
  if (code < 0x800) return to[0] = (uint8_t)(0xc0 | code >> 6), to[1] = (uint8_t)(0x80 | (code & 0x3f)), 2;
  size_t size = code < 0x10000 ? 3 : 4;
  to[0] = (uint8_t)((size == 3 ? 0xe0 : 0xf0) | code >> (6 * (size - 1)));
  for (size_t i = 1; i < size; i++) to[i] = (uint8_t)(0x80 | (code >> (6 * (size - 1 - i)) & 0x3f));
  return size;
}

// A `\u` escape, its surrogate pair included.
static bool read_escape(struct reader *reader, uint8_t *to, size_t *size) {
  uint32_t code, low;
  if (!read_hex(reader, &code)) return false;
  if (code >= 0xd800 && code < 0xe000) {
    if (code >= 0xdc00 || reader->end - reader->at < 6 || reader->at[0] != '\\' || reader->at[1] != 'u') return false;
    reader->at += 2;
    if (!read_hex(reader, &low) || low < 0xdc00 || low >= 0xe000) return false;
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  *size += write_utf8(to + *size, code);
  return true;
}

// A string, decoded.
static bool read_string(struct reader *reader, validator_string_t *string) {
  static const char escapes[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
  if (!take(reader, '"')) return false;
  // Decoding never makes a string longer.
  string->ptr = malloc((size_t)(reader->end - reader->at));
  string->len = 0;
  while (reader->at < reader->end) {
    uint8_t byte = *reader->at++;
    if (byte == '"') return true;
    if (byte != '\\') {
      string->ptr[string->len++] = byte;
      continue;
    }
    if (reader->at == reader->end) return false;
    byte = *reader->at++;
    if (byte == 'u') {
      if (!read_escape(reader, string->ptr, &string->len)) return false;
      continue;
    }
    size_t i = 0;
    while (escapes[i] && (uint8_t)escapes[i] != byte) i += 2;
    if (!escapes[i]) return false;
    string->ptr[string->len++] = (uint8_t)escapes[i + 1];
  }
  return false;
}

// Any value, to pass over it.
static bool skip_value(struct reader *reader, int depth) {
  validator_string_t ignored;
  skip_space(reader);
  if (depth > MAX_DEPTH || reader->at == reader->end) return false;
  if (*reader->at == '"') return read_string(reader, &ignored);
  bool object = *reader->at == '{';
  if (object || *reader->at == '[') {
    char close = object ? '}' : ']';
    reader->at++;
    if (take(reader, close)) return true;
    do {
      if (object && (!read_string(reader, &ignored) || !take(reader, ':'))) return false;
      if (!skip_value(reader, depth + 1)) return false;
    } while (take(reader, ','));
    return take(reader, close);
  }
  // A number or a name: up to what may follow it.
  const uint8_t *start = reader->at;
  while (reader->at < reader->end && *reader->at > ' ' && *reader->at != ',' && *reader->at != ']' &&
         *reader->at != '}') {
    reader->at++;
  }
  return reader->at > start;
}

static bool equal(const validator_string_t *string, const char *text) {
  return string->len == strlen(text) && memcmp(string->ptr, text, string->len) == 0;
}

static bool read_words(struct reader *reader, struct settings *settings, problems_t *problems) {
  skip_space(reader);
  if (reader->at < reader->end && *reader->at != '[') {
    problem(problems, "/words", "", 0, "a list of words is expected");
    return skip_value(reader, 0);
  }
  if (!take(reader, '[')) return false;
  if (take(reader, ']')) {
    problem(problems, "/words", "", 0, "name at least one word");
    return true;
  }
  do {
    char index[20];
    size_t from = sizeof index;
    size_t number = settings->count;
    do index[--from] = (char)('0' + number % 10); while (number /= 10);
    settings->words = grow(settings->words, settings->count, sizeof *settings->words);
    validator_string_t *word = &settings->words[settings->count++];
    *word = (validator_string_t){0};
    skip_space(reader);
    if (reader->at < reader->end && *reader->at != '"') {
      problem(problems, "/words/", index + from, sizeof index - from, "a word is a text");
      if (!skip_value(reader, 0)) return false;
    } else if (!read_string(reader, word)) {
      return false;
    } else if (word->len == 0) {
      problem(problems, "/words/", index + from, sizeof index - from, "a word has at least one character");
    }
  } while (take(reader, ','));
  return take(reader, ']');
}

static bool read_action(struct reader *reader, struct settings *settings, problems_t *problems) {
  static const char *const names[] = {"flag", "redact", "block"};
  validator_string_t name = {0};
  skip_space(reader);
  if (reader->at < reader->end && *reader->at != '"') {
    if (!skip_value(reader, 0)) return false;
  } else if (!read_string(reader, &name)) {
    return false;
  }
  for (int i = 0; i < 3; i++) {
    if (equal(&name, names[i])) return settings->action = (enum action)i, true;
  }
  problem(problems, "/action", "", 0, "`flag`, `redact` or `block` is expected");
  return true;
}

// A name as a JSON Pointer has it (RFC 6901).
static validator_string_t escaped(const validator_string_t *name) {
  validator_string_t token = {malloc(2 * name->len), 0};
  for (size_t i = 0; i < name->len; i++) {
    uint8_t byte = name->ptr[i];
    bool special = byte == '~' || byte == '/';
    token.ptr[token.len++] = special ? '~' : byte;
    if (special) token.ptr[token.len++] = byte == '~' ? '0' : '1';
  }
  return token;
}

static bool read_members(struct reader *reader, struct settings *settings, problems_t *problems) {
  bool words = false, action = false;
  if (!take(reader, '{')) return false;
  if (!take(reader, '}')) {
    do {
      validator_string_t name;
      if (!read_string(reader, &name) || !take(reader, ':')) return false;
      if (equal(&name, "words") && !words) {
        words = true;
        if (!read_words(reader, settings, problems)) return false;
      } else if (equal(&name, "action") && !action) {
        action = true;
        if (!read_action(reader, settings, problems)) return false;
      } else {
        validator_string_t token = escaped(&name);
        problem(problems, "/", (char *)token.ptr, token.len, "it has no such setting, or has it already");
        if (!skip_value(reader, 0)) return false;
      }
    } while (take(reader, ','));
    if (!take(reader, '}')) return false;
  }
  skip_space(reader);
  if (!words) problem(problems, "", "", 0, "`words` is missing");
  if (!action) problem(problems, "", "", 0, "`action` is missing");
  return reader->at == reader->end;
}

bool settings_read(const validator_string_t *text, struct settings *settings, problems_t *problems) {
  struct reader reader = {text->ptr, text->ptr + text->len};
  *settings = (struct settings){0};
  *problems = (problems_t){0};
  if (!read_members(&reader, settings, problems)) problem(problems, "", "", 0, "the settings are no JSON object");
  return problems->len == 0;
}
