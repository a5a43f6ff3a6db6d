// Requests to the studio's server, and what it answers.

async function ask(path, body, signal) {
  const response = await fetch(path, body === undefined ? { signal } : {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  if (response.ok) return response;
  const said = await response.text();
  const error = new Error(said);
  try { error.message = JSON.parse(said).error; } catch { /* a refusal is plain text */ }
  error.refused = true; // nothing was started
  throw error;
}

export async function json(path, body) {
  return (await ask(path, body)).json();
}

// Calls `onLine` with each line of JSON as it comes.
export async function lines(path, body, signal, onLine) {
  const reader = (await ask(path, body, signal)).body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", last = {};
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const whole = (rest + value).split("\n");
    rest = whole.pop();
    for (const line of whole) {
      last = JSON.parse(line);
      if (last.error) throw new Error(last.error);
      onLine(last);
    }
  }
  checkEnd(last);
}

// Returns frames: a length, that much JSON, and as many bytes as the JSON says.
export async function frames(path, body, signal) {
  const buffer = await (await ask(path, body, signal)).arrayBuffer();
  const found = [];
  for (let at = 0; at < buffer.byteLength;) {
    const size = new DataView(buffer).getUint32(at, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, at + 4, size)));
    if (header.error) throw new Error(header.error);
    const begin = at + 4 + size;
    found.push({ header, values: new Float32Array(buffer.slice(begin, begin + header.bytes)) });
    at = begin + header.bytes;
  }
  checkEnd(found.at(-1)?.header ?? {});
  return found;
}

// An answer without its end was cut off: by a cancel elsewhere, or by the end of the server.
function checkEnd(last) {
  if (!last.end) throw new DOMException("", "AbortError");
}
