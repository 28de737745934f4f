// What pixels show: NPR residual, log-spectrum, error level. All follow from the pixels that this page holds.

/** Pixels of an image of the page as RGBA on white, without the browser's colour management. */
async function pixelsOf(src) {
  if (!src.startsWith("data:")) return drawn(await decoded(src));
  const [head, text] = src.split(","), raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let k = 0; k < raw.length; k++) bytes[k] = raw.charCodeAt(k);
  return drawn(new Blob([bytes], { type: head.slice(5).split(";")[0] }));
}

async function decoded(src) {
  const image = new Image();
  image.src = src;
  await image.decode();
  return image;
}

async function drawn(source) {
  const bitmap = await createImageBitmap(source, { colorSpaceConversion: "none" });
  const canvas = canvasOf(bitmap.width, bitmap.height), brush = canvas.getContext("2d", { willReadFrequently: true });
  brush.fillStyle = "#fff";
  brush.fillRect(0, 0, canvas.width, canvas.height);
  brush.drawImage(bitmap, 0, 0);
  return brush.getImageData(0, 0, canvas.width, canvas.height);
}

function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

/** A canvas whose red, green and blue fill(data, at, x, y) writes at `at`. */
function painted(width, height, fill) {
  const canvas = canvasOf(width, height), image = new ImageData(width, height);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 4) {
      fill(image.data, at, x, y);
      image.data[at + 3] = 255;
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

const GAIN = 4;
/** Every 2 × 2 block of the whole image less its top left pixel. [left, top] is where the pixels begin in that image. */
function residualOf({ width, height, data }, [left, top]) {
  const x0 = left & 1, y0 = top & 1, w = (width - x0) & ~1, h = (height - y0) & ~1;
  if (w < 2 || h < 2) return null;
  return painted(w, h, (out, to, x, y) => {
    const at = ((y + y0) * width + x + x0) * 4, corner = (((y & ~1) + y0) * width + (x & ~1) + x0) * 4;
    for (let c = 0; c < 3; c++) out[to + c] = 128 + GAIN * (data[at + c] - data[corner + c]);
  });
}

/** In place: the discrete Fourier transform of a power of two of complex numbers, one in every `step` from `start`. */
function fourier(re, im, start, step, size) {
  for (let i = 1, j = 0; i < size; i++) {
    let bit = size >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      const a = start + i * step, b = start + j * step;
      [re[a], re[b]] = [re[b], re[a]];
      [im[a], im[b]] = [im[b], im[a]];
    }
  }
  for (let span = 2; span <= size; span *= 2) {
    for (let k = 0; k < span / 2; k++) {
      const cos = Math.cos((2 * Math.PI * k) / span), sin = -Math.sin((2 * Math.PI * k) / span);
      for (let i = k; i < size; i += span) {
        const a = start + i * step, b = a + (span / 2) * step;
        const x = re[b] * cos - im[b] * sin, y = re[b] * sin + im[b] * cos;
        re[b] = re[a] - x; im[b] = im[a] - y;
        re[a] += x; im[a] += y;
      }
    }
  }
}

/** Power of rounding to 8 bits: nothing below it was recorded. */
const FLOOR = 1 / (12 * 255 ** 2);
/** Base-10 logarithm of the power of the central square, frequency 0 in the middle; as task=explore measures it. */
function spectrumOf({ width, height, data }) {
  let side = 256;
  while (side > Math.min(width, height)) side /= 2;
  if (side < 16) return null;
  const left = (width - side) >> 1, top = (height - side) >> 1, re = new Float64Array(side * side), im = new Float64Array(side * side);
  const taper = Float64Array.from({ length: side }, (_, k) => 0.5 - 0.5 * Math.cos((2 * Math.PI * k) / side));
  let mean = 0, weight = 0;
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const at = ((y + top) * width + x + left) * 4;
      re[y * side + x] = (0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2]) / 255;
      mean += re[y * side + x] / (side * side);
    }
  }
  for (let y = 0; y < side; y++) for (let x = 0; x < side; x++) {
    const w = taper[x] * taper[y];
    re[y * side + x] = (re[y * side + x] - mean) * w;
    weight += w * w;
  }
  for (let y = 0; y < side; y++) fourier(re, im, y * side, 1, side);
  for (let x = 0; x < side; x++) fourier(re, im, x, side, side);
  const power = new Float64Array(side * side), half = side / 2;
  for (let y = 0; y < side; y++) for (let x = 0; x < side; x++) {
    const at = ((y + half) % side) * side + ((x + half) % side);
    power[y * side + x] = Math.log10((re[at] ** 2 + im[at] ** 2) / weight + FLOOR);
  }
  const low = Math.log10(FLOOR), high = power.reduce((a, b) => Math.max(a, b), low + 1);
  return { low, high, side, canvas: painted(side, side, (out, to, x, y) => { out.fill((255 * (power[y * side + x] - low)) / (high - low), to, to + 3); }) };
}

const SAVED = 0.9, LOUDER = 10;
/** Absolute difference from itself saved as JPEG, from the first block of the whole image on. */
async function errorLevel({ width, height, data }, [left, top]) {
  const x0 = (8 - (left % 8)) % 8, y0 = (8 - (top % 8)) % 8, w = width - x0, h = height - y0;
  if (w < 8 || h < 8) return null;
  const from = (x, y) => ((y + y0) * width + x + x0) * 4;
  const part = painted(w, h, (out, to, x, y) => { for (let c = 0; c < 3; c++) out[to + c] = data[from(x, y) + c]; });
  const again = await drawn(await new Promise((done) => part.toBlob(done, "image/jpeg", SAVED)));
  return painted(w, h, (out, to, x, y) => {
    for (let c = 0; c < 3; c++) out[to + c] = LOUDER * Math.abs(data[from(x, y) + c] - again.data[to + c]);
  });
}
