// A ZIP of files as they are, without compression: pictures have their own (APPNOTE.TXT 6.3.10).

const MOST = 2 ** 32 - 1;

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Little-endian fields: [size in bytes, value] each. */
function record(...fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [size]) => sum + size, 0)));
  let at = 0;
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return view.buffer;
}

function dosTime(date) {
  const time = (date.getHours() << 11) | (date.getMinutes() << 5) | (date.getSeconds() >> 1);
  return [time, ((date.getFullYear() - 1980) << 9) | ((date.getMonth() + 1) << 5) | date.getDate()];
}

/** A Blob of [{ name, blob }]; the names must differ. */
export async function zip(files) {
  const [time, day] = dosTime(new Date());
  const parts = [];
  const directory = [];
  let at = 0;
  for (const { name, blob } of files) {
    const path = new TextEncoder().encode(name);
    const crc = crc32(new Uint8Array(await blob.arrayBuffer()));
    // Version 2.0; names in UTF-8; stored.
    const common = [[2, 20], [2, 0x800], [2, 0], [2, time], [2, day], [4, crc],
      [4, blob.size], [4, blob.size], [2, path.length], [2, 0]];
    parts.push(record([4, 0x04034b50], ...common), path, blob);
    directory.push(
      record([4, 0x02014b50], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, at]), path);
    at += 30 + path.length + blob.size;
    if (at > MOST) throw new Error("a ZIP holds 4 GB at most; download them one by one");
  }
  const size = new Blob(directory).size;
  const end = record([4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length],
    [4, size], [4, at], [2, 0]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}
