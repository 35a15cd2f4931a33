// The guard {{name}}: looks for words in what a model wrote, and flags, redacts or blocks it.
//
// Upper and lower case of ASCII letters are the same; all other characters must match exactly. A word is found inside
// a longer one too.
//
// The exports are those of world `validator` in wit/guard.wit. Names are in camel case here, an `option` is `undefined`
// or the value, a `variant` is `{ tag, val }`, and the error of a `result` is thrown.

const encoder = new TextEncoder();
const actions = ['flag', 'redact', 'block'];

let words = [];
let action = 'flag';

// The contract's interface `types` has no functions; the world exports it all the same.
export const types = {};

export const validation = {
  describe() {
    return {
      name: '{{name}}',
      version: '0.1.0',
      summary: 'Looks for words in what a model wrote',
      settingsSchema: JSON.stringify({
        type: 'object',
        required: ['words', 'action'],
        additionalProperties: false,
        properties: {
          words: { type: 'array', minItems: 1, items: { type: 'string', minLength: 1 } },
          action: { enum: actions },
        },
      }),
      needs: { output: true },
      rules: [{ id: 'word', summary: 'One of the words of the settings', guarantee: 'held' }],
    };
  },

  // Called once. Every check starts from a copy of the memory that it leaves.
  configure(text) {
    const settings = JSON.parse(text);
    const problems = findProblems(settings);
    if (problems.length > 0) throw problems;
    words = settings.words.map((word) => lower(encoder.encode(word)));
    action = settings.action;
  },

  check(inference) {
    const verdict = { decision: { tag: 'allow' }, findings: [], measurements: [] };
    const output = inference.output;
    if (output === undefined) {
      // No output, nothing to find.
    } else if (output.tag === 'text') {
      search(verdict, '', output.val);
    } else if (output.tag === 'messages') {
      output.val.forEach((message, index) => search(verdict, `/${index}`, message.content));
    } else {
      // What it cannot read it does not wave through: the operator's `on_failure` decides.
      throw 'it reads texts and messages only';
    }
    verdict.measurements.push({ name: 'matches', value: { tag: 'integer', val: BigInt(verdict.findings.length) } });
    return verdict;
  },
};

// All mistakes in the settings, each with a JSON Pointer to it.
function findProblems(settings) {
  if (typeof settings !== 'object' || settings === null || Array.isArray(settings)) {
    return [{ pointer: '', message: 'the settings are no JSON object' }];
  }
  const problems = [];
  for (const name of Object.keys(settings)) {
    if (name !== 'words' && name !== 'action') {
      const token = name.replaceAll('~', '~0').replaceAll('/', '~1');
      problems.push({ pointer: `/${token}`, message: 'it has no such setting' });
    }
  }
  for (const name of ['words', 'action']) {
    if (!(name in settings)) problems.push({ pointer: '', message: `\`${name}\` is missing` });
  }
  if ('action' in settings && !actions.includes(settings.action)) {
    problems.push({ pointer: '/action', message: '`flag`, `redact` or `block` is expected' });
  }
  if ('words' in settings && !Array.isArray(settings.words)) {
    problems.push({ pointer: '/words', message: 'a list of words is expected' });
  } else if (settings.words?.length === 0) {
    problems.push({ pointer: '/words', message: 'name at least one word' });
  } else {
    settings.words?.forEach((word, index) => {
      if (typeof word !== 'string' || word === '') {
        problems.push({ pointer: `/words/${index}`, message: 'a word has at least one character' });
      }
    });
  }
  return problems;
}

// Lower case, of ASCII letters alone: the same everywhere, and no byte moves.
function lower(bytes) {
  return bytes.map((byte) => (byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte));
}

// Looks through one text. Works on bytes of UTF-8, because that is what spans count; a JavaScript string counts
// otherwise. Of words that begin at the same place the first in the list counts; words that overlap an earlier one do not.
function search(verdict, path, text) {
  const bytes = lower(encoder.encode(text));
  const beginsAt = (at) => (word) => at + word.length <= bytes.length && word.every((byte, i) => bytes[at + i] === byte);
  for (let at = 0; at < bytes.length; ) {
    const index = words.findIndex(beginsAt(at));
    if (index < 0) {
      at += 1;
      continue;
    }
    const span = { start: at, end: at + words[index].length };
    at = span.end;
    const location = { part: 'output', path, span };
    // A finding does not repeat what it found; the place in the list says enough.
    const message = `word ${index + 1} of the list`;
    verdict.findings.push({ rule: 'word', severity: 'medium', message, location });
    if (action === 'redact') {
      if (verdict.decision.tag === 'allow') verdict.decision = { tag: 'redact', val: [] };
      verdict.decision.val.push({ location, replacement: '[removed]' });
    } else {
      verdict.decision = { tag: action };
    }
  }
}
