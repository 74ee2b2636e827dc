// Single files out of a zip that lies in memory; the others stay packed.

const END = 0x06054b50;
const END_LENGTH = 22;
const LONGEST_COMMENT = 0xffff;
const ENTRY = 0x02014b50;
const STORED = 0;
const DEFLATED = 8;

/** `{ names, text(name) }` of a zip without encryption, below 4 GB. Throws where it is none. */
export function openZip(buffer) {
  const view = new DataView(buffer);
  const entries = new Map();
  const end = findEnd(view);
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left -= 1) {
    if (view.getUint32(at, true) !== ENTRY) throw new Error("The list of files in the zip is damaged.");
    const [name, extra, comment] = [28, 30, 32].map((offset) => view.getUint16(at + offset, true));
    entries.set(new TextDecoder().decode(new Uint8Array(buffer, at + 46, name)), {
      method: view.getUint16(at + 10, true), packed: view.getUint32(at + 20, true), start: view.getUint32(at + 42, true),
    });
    at += 46 + name + extra + comment;
  }
  return { names: [...entries.keys()], text: (name) => unpacked(buffer, view, entries.get(name)) };
}

function findEnd(view) {
  const last = view.byteLength - END_LENGTH;
  for (let at = last; at >= Math.max(0, last - LONGEST_COMMENT); at -= 1) {
    if (view.getUint32(at, true) === END) return at;
  }
  throw new Error("This is no zip, or its end is missing.");
}

async function unpacked(buffer, view, { method, packed, start }) {
  // The lengths beside the content may differ from those in the list.
  const from = start + 30 + view.getUint16(start + 26, true) + view.getUint16(start + 28, true);
  const content = new Blob([new Uint8Array(buffer, from, packed)]);
  if (method === STORED) return content.text();
  if (method !== DEFLATED) throw new Error(`A file in the zip is packed by method ${method}, which this page cannot read.`);
  return new Response(content.stream().pipeThrough(new DecompressionStream("deflate-raw"))).text();
}
