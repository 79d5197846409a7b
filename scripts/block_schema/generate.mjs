// Writes the JSON Schema of Slack's Block Kit, from the declarations of @slack/types. In this folder, with node 20 or newer:
//
//     npm install --no-package-lock && node generate.mjs > ../../tests/block_kit/schema.json
//
// The limits are read from the doc comments. A sentence that looks like a limit and is not understood goes to standard error:
// teach `limit` to read it. What the comments leave out or get wrong is corrected in tests/block_kit/__init__.py.

import fs from 'node:fs';
import ts from 'typescript';

const PACKAGE = new URL('node_modules/@slack/types/', import.meta.url);
const BLOCK_KIT = ['extensions', 'composition-objects', 'block-elements', 'blocks'];
const FILES = [...BLOCK_KIT.map((file) => `block-kit/${file}`), 'views'];
const ROOTS = ['KnownBlock', 'ModalView', 'HomeView'];

const { name, version } = JSON.parse(fs.readFileSync(new URL('package.json', PACKAGE), 'utf8'));
const declared = new Map();
for (const file of FILES) {
  const text = fs.readFileSync(new URL(`dist/${file}.d.ts`, PACKAGE), 'utf8');
  for (const node of ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true).statements) {
    if (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) declared.set(node.name.text, node);
  }
}

const defs = {};
function define(type) {
  if (type in defs) return;
  const node = declared.get(type);
  defs[type] = null; // types refer to each other in circles
  defs[type] = ts.isInterfaceDeclaration(node) ? object(members(node)) : schema(node.type);
}

/** The properties of an interface: its own, then what it inherits. */
function members(node) {
  const own = node.members.map((member) => [member.name.text, member]);
  const bases = (node.heritageClauses ?? []).flatMap((clause) => clause.types);
  const inherited = bases.flatMap((base) => [...members(declared.get(base.expression.text))]);
  return new Map([...inherited, ...own]);
}

function object(properties) {
  const all = [...properties].sort(([a], [b]) => (b === 'type') - (a === 'type'));
  return {
    type: 'object',
    properties: Object.fromEntries(all.map(([key, node]) => [key, limit(schema(node.type), node)])),
    required: all.filter(([, node]) => !node.questionToken).map(([key]) => key),
    additionalProperties: false,
  };
}

function schema(node) {
  switch (node.kind) {
    case ts.SyntaxKind.StringKeyword:
      return { type: 'string' };
    case ts.SyntaxKind.NumberKeyword:
      return { type: 'number' };
    case ts.SyntaxKind.BooleanKeyword:
      return { type: 'boolean' };
    case ts.SyntaxKind.ParenthesizedType:
      return schema(node.type);
    case ts.SyntaxKind.LiteralType:
      return { const: JSON.parse(node.getText().replaceAll("'", '"')) };
    case ts.SyntaxKind.ArrayType:
      return { type: 'array', items: schema(node.elementType) };
    case ts.SyntaxKind.TypeLiteral:
      return object(new Map(node.members.map((member) => [member.name.text, member])));
    case ts.SyntaxKind.TypeReference:
      define(node.typeName.text);
      return { $ref: `#/$defs/${node.typeName.text}` };
    case ts.SyntaxKind.UnionType:
      return union(node);
    case ts.SyntaxKind.IntersectionType:
      return node.types.map((part) => inline(schema(part))).reduce(both);
    default:
      throw new Error(`${ts.SyntaxKind[node.kind]}: ${node.getText()}`);
  }
}

const typeOf = (part) => inline(part).properties?.type?.const;

function inline(part) {
  return part.$ref ? defs[part.$ref.split('/').at(-1)] : part;
}

function union(node) {
  // Two unions have an open member beside the known ones (a `type: string`, a Record), which would let everything pass.
  const closed = node.types.filter((part) => !['Block', 'Record'].includes(part.typeName?.text));
  const parts = closed.map(schema).flatMap((part) => inline(part).anyOf ?? [part]);
  if (parts.length === 1) return parts[0];
  if (parts.every((part) => 'const' in part)) return { enum: parts.map((part) => part.const) };
  return parts.every(typeOf) ? { anyOf: parts } : parts.map(inline).reduce(either);
}

/** What has the properties of both. */
function both(a, b) {
  const alternatives = a.oneOf ?? b.oneOf;
  return {
    type: 'object',
    properties: { ...b.properties, ...a.properties },
    required: [...new Set([...a.required, ...b.required])],
    ...(alternatives && { oneOf: alternatives }),
    additionalProperties: false,
  };
}

/** What is the one or the other, with no `type` that tells which. */
function either(a, b) {
  const properties = { ...a.properties };
  for (const [key, other] of Object.entries(b.properties)) {
    const same = JSON.stringify(properties[key] ?? other) === JSON.stringify(other);
    properties[key] = same ? other : { anyOf: [properties[key], other] };
  }
  const required = a.required.filter((key) => b.required.includes(key));
  const alternatives = [a, b].map((part) => ({ required: part.required.filter((key) => !required.includes(key)) }));
  const differ = alternatives.some((alternative) => alternative.required.length);
  return { type: 'object', properties, required, ...(differ && { oneOf: alternatives }), additionalProperties: false };
}

const RULES = {
  array: [
    ['minItems', /\bminimum (\d+)/],
    ['maxItems', /\b(?:max|maximum|up to)(?: number of [a-z ]+ is| of)? (\d+)/],
  ],
  number: [
    ['minimum', /\b(?:min|minimum|between|from)(?: number is| of)? (\d+)/],
    ['maximum', /\b(?:max|maximum|between \d+ and|from \d+ .*to)(?: value is| of)? (\d+)/],
  ],
  string: [
    ['minLength', /\bminimum length\D* (\d+)/],
    ['maxLength', /\b(?:max|maximum) length\D* (\d+)/],
    ['maxLength', /\blimit (\d+) characters/],
    ['maxLength', /\bless than (\d+) characters/, -1],
  ],
};

const LIMIT = /\b(max|maximum|min|minimum|limit|less than|more than|at most|at least|exceed|up to)\b.*\d/;

/** The schema of a property with the limits that its comment states. */
function limit(property, node) {
  const comments = ts.getJSDocCommentsAndTags(node).map((comment) => comment.getText());
  const words = comments.join(' ').replace(/\{@link.*?\}/gs, '').replace(/(\d),(\d)/g, '$1$2').replace(/[\s*`]+/g, ' ');
  for (const sentence of words.toLowerCase().split(/\. /)) {
    const target = /\beach (item|row)\b/.test(sentence) ? property.items ?? property : property;
    // A limit on a text object is one on its text.
    const refers = target.$ref ?? target.anyOf;
    const limits = refers ? {} : target;
    const rules = RULES[target.type ?? 'string'] ?? [];
    const found = rules.filter(([keyword, pattern, shift = 0]) => {
      const match = sentence.match(pattern);
      if (match) limits[keyword] = Number(match[1]) + shift;
      return match;
    });
    if (found.length && refers) target.properties = { text: limits };
    if (!found.length && LIMIT.test(sentence)) {
      console.error(`not understood: ${node.parent.name?.text ?? '?'}.${node.name.text}: ${sentence}`);
    }
  }
  return property;
}

ROOTS.forEach(define);
const used = new Set(ROOTS); // a union or an intersection leaves its parts behind
for (const type of used) for (const [, other] of JSON.stringify(defs[type]).matchAll(/#\/\$defs\/(\w+)/g)) used.add(other);

const output = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  $comment: `Generated by scripts/block_schema from ${name} ${version} (MIT). Roots: ${ROOTS.join(', ')}.`,
  $defs: Object.fromEntries([...used].sort().map((type) => [type, defs[type]])),
};
console.log(JSON.stringify(output, null, 1));
