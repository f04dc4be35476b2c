// The front page: a search, a book, and the ticker. Texts become text and never markup.

const PAGE = 20;
const TICKS = 20;
const $ = (id) => document.getElementById(id);
const price = (cents) => (cents / 100).toFixed(2);
let shown = null;
let asked = 0;

function make(tag, text, ...classes) {
  const element = document.createElement(tag);
  element.textContent = text;
  element.classList.add(...classes);
  return element;
}

async function ask(path, options) {
  const answer = await fetch(path, options);
  if (answer.ok) return answer;
  const problem = await answer.json();
  throw new Error(problem.detail ?? problem.title);
}

// The search.

function search(offset = 0) {
  find(offset).catch((error) => { $("found").textContent = error.message; });
}

async function find(offset) {
  const number = ++asked;
  const query = new URLSearchParams({ q: $("search").value, limit: PAGE, offset });
  const answer = await ask(`/books?${query}`);
  const { total, books } = await answer.json();
  if (number !== asked) return; // somebody has typed on meanwhile
  const items = books.map(item);
  if (offset) $("books").append(...items);
  else $("books").replaceChildren(...items);
  $("found").textContent = total === 1 ? "1 book" : `${total} books`;
  $("more").hidden = offset + books.length >= total;
}

function item(book) {
  const name = make("span", book.title);
  name.append(make("span", ` ${book.author}, ${book.published}`, "by"));
  const button = make("button", "");
  button.type = "button";
  button.append(name, make("span", price(book.price_cents), "number"), stock(book.id, book.stock));
  button.addEventListener("click", () => show(book.id));
  const line = make("li", "");
  line.append(button);
  return line;
}

function stock(id, copies) {
  const element = make("span", "", "number");
  element.dataset.book = id;
  return say(element, copies);
}

function say(element, copies) {
  element.textContent = copies ? `${copies} left` : "sold out";
  element.classList.toggle("none", copies === 0);
  return element;
}

// A book.

async function show(id) {
  const book = await (await ask(`/books/${id}`)).json();
  shown = id;
  $("title").textContent = book.title;
  $("about").textContent = `${book.author}, ${book.published}. ${price(book.price_cents)}, `;
  $("about").append(stock(id, book.stock));
  $("said").textContent = "";
  $("upload").reset();
  $("order").reset();
  showCover();
  $("book").showModal();
}

function showCover() {
  $("cover").hidden = true;
  // The time has the image looked up anew; the answer is 304 if it is the same.
  $("cover").src = `/books/${shown}/cover?at=${Date.now()}`;
}

$("cover").addEventListener("load", () => { $("cover").hidden = false; });

async function submit(event, send) {
  event.preventDefault();
  try {
    $("said").textContent = await send(new FormData(event.target));
  } catch (error) {
    $("said").textContent = error.message;
  }
}

$("order").addEventListener("submit", (event) => submit(event, async (form) => {
  const lines = [{ book_id: shown, quantity: Number(form.get("quantity")) }];
  const order = await place({ lines });
  return `Order ${order.id} is placed: ${price(order.total_cents)}.`;
}));

// However often a request with one key arrives, the order is placed once.
async function place(order, tries = 3) {
  const key = [...crypto.getRandomValues(new Uint8Array(16))].map((each) => each.toString(16)).join("-");
  const headers = { "content-type": "application/json", "idempotency-key": key };
  for (;;) {
    try {
      return await (await ask("/orders", { method: "POST", headers, body: JSON.stringify(order) })).json();
    } catch (error) {
      if (!(error instanceof TypeError) || --tries === 0) throw error; // the connection, and no answer
    }
  }
}

$("upload").addEventListener("submit", (event) => submit(event, async (form) => {
  await ask(`/books/${shown}/cover`, { method: "PUT", body: form });
  showCover();
  return "The book has a new cover.";
}));

// The ticker. It reconnects by itself, and says then what it has seen.

const ticker = new EventSource("/stock/events");
ticker.addEventListener("open", () => { $("state").textContent = "live"; });
ticker.addEventListener("error", () => { $("state").textContent = "reconnecting"; });
ticker.addEventListener("missed", () => search());
ticker.addEventListener("message", (event) => {
  const change = JSON.parse(event.data);
  for (const element of document.querySelectorAll(`[data-book="${change.book_id}"]`)) say(element, change.stock);
  const line = make("li", "");
  line.append(make("span", change.title), say(make("span", "", "number"), change.stock));
  $("ticker").prepend(line);
  while ($("ticker").children.length > TICKS) $("ticker").lastChild.remove();
});

$("search").addEventListener("input", () => search());
$("more").addEventListener("click", () => search($("books").children.length));
search();
