// The documentation, drawn from /v1/openapi.json and from nothing else.

const METHODS = ["get", "post", "put", "patch", "delete"];

/** An element with properties and children; text is always text, never markup. */
function el(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** Text in which `backticks` mark code. */
function prose(text) {
  return text.split("`").map((part, at) => (at % 2 ? el("code", {}, part) : part));
}

function paragraphs(text) {
  return text.trim().split(/\n\s*\n/).map((part) => el("p", {}, prose(part)));
}

function nameOf(ref) {
  return ref.slice(ref.lastIndexOf("/") + 1);
}

function linkTo(name) {
  return el("a", { href: `#schema-${name}` }, name);
}

/** A schema in a few words, with links to those that have a name. */
function typeOf(schema) {
  if (!schema || Object.keys(schema).length === 0) return ["anything"];
  if (schema.$ref) return [linkTo(nameOf(schema.$ref))];
  if (schema.const !== undefined) return [JSON.stringify(schema.const)];
  if (schema.enum) return [schema.enum.map((one) => JSON.stringify(one)).join(" | ")];
  const options = schema.anyOf || schema.oneOf || schema.allOf;
  if (options) return options.flatMap((one, at) => (at ? [" or ", ...typeOf(one)] : typeOf(one)));
  if (schema.type === "array") return ["list of ", ...typeOf(schema.items)];
  if (schema.type === "object" && schema.additionalProperties) {
    return ["object: name to ", ...typeOf(schema.additionalProperties)];
  }
  const type = schema.format ? `${schema.type} (${schema.format})` : String(schema.type);
  return [type, bounds(schema)];
}

function bounds(schema) {
  const said = [];
  const between = (least, most, unit) => {
    if (least !== undefined && most !== undefined) said.push(`${least} to ${most}${unit}`);
    else if (least !== undefined) said.push(`at least ${least}${unit}`);
    else if (most !== undefined) said.push(`at most ${most}${unit}`);
  };
  const least = schema.exclusiveMinimum !== undefined
    ? schema.exclusiveMinimum + 1
    : schema.minimum;
  between(least, schema.maximum, "");
  between(schema.minLength, schema.maxLength, " characters");
  return said.length ? `, ${said.join(", ")}` : "";
}

function table(rows) {
  return el("div", { className: "scroll" }, el("table", {}, el("tbody", {}, rows)));
}

function row(name, schema, needed, description) {
  const text = description ?? schema.description ?? "";
  const fallback = schema.default !== undefined && schema.default !== null
    ? `Without it: ${JSON.stringify(schema.default)}. `
    : "";
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, el("code", {}, name), needed ? "" : " (optional)"),
    el("td", { className: "type" }, typeOf(schema)),
    el("td", {}, prose(`${fallback}${text}`)),
  );
}

function fields(schema) {
  const needed = new Set(schema.required || []);
  return table(
    Object.entries(schema.properties || {}).map(([name, one]) => row(name, one, needed.has(name))),
  );
}

function whoMay(operation) {
  const scheme = operation.security && Object.keys(operation.security[0])[0];
  if (!scheme) return "Anybody.";
  const who = scheme === "staff" ? "Staff" : "A player who is logged in";
  return `${who}, with the header \`Authorization: Bearer <token>\`.`;
}

function answer(status, response) {
  const content = Object.values(response.content || {})[0];
  const problem = "application/problem+json" in (response.content || {});
  const type = content && !problem ? typeOf(content.schema) : [];
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, status),
    el("td", { className: "type" }, type),
    el("td", {}, problem ? prose(response.description) : ""),
  );
}

function operationArticle(path, method, operation) {
  const article = el(
    "article",
    { id: operation.operationId },
    el("h3", {}, el("span", { className: "method" }, method.toUpperCase()), " ", el("code", {}, path)),
    el("p", {}, prose(operation.summary)),
    el("p", { className: "who" }, prose(whoMay(operation))),
  );
  if (operation.parameters) {
    article.append(
      el("h4", {}, "Parameters"),
      table(
        operation.parameters.map((one) =>
          row(one.name, one.schema, one.required, `In the ${one.in}. ${one.description || ""}`),
        ),
      ),
    );
  }
  const body = operation.requestBody?.content["application/json"].schema;
  if (body) article.append(el("h4", {}, "Body"), el("p", {}, typeOf(body)));
  article.append(
    el("h4", {}, "Answers"),
    table(Object.entries(operation.responses).map(([status, one]) => answer(status, one))),
  );
  return article;
}

function schemaArticle(name, schema) {
  const article = el("article", { id: `schema-${name}` }, el("h3", {}, el("code", {}, name)));
  if (schema.description) article.append(...paragraphs(schema.description));
  article.append(schema.properties ? fields(schema) : el("p", {}, typeOf(schema)));
  return article;
}

function section(id, title, ...children) {
  return el("section", { id }, el("h2", {}, title), children);
}

function streamSection(stream) {
  const links = (schemas) => el("ul", {}, schemas.map((one) => el("li", {}, typeOf(one))));
  return section(
    "stream-frames",
    "Frames of the stream",
    el("p", {}, prose(
      `A WebSocket at \`${stream.path}\` with the subprotocol \`${stream.subprotocol}\`; every ` +
      "frame is a JSON text with a `type`.",
    )),
    el("article", {}, el("h4", {}, "From the client"), links(stream.client)),
    el("article", {}, el("h4", {}, "From the server"), links(stream.server)),
    el(
      "article",
      {},
      el("h4", {}, "Close codes"),
      table(
        Object.entries(stream.closeCodes).map(([code, text]) =>
          el("tr", {}, el("th", { scope: "row" }, code), el("td", {}, text)),
        ),
      ),
    ),
  );
}

function problemSection(problems) {
  const rows = Object.entries(problems).map(([code, kind]) =>
    el(
      "tr",
      { id: code },
      el("th", { scope: "row" }, el("code", {}, code)),
      el("td", {}, String(kind.status)),
      el("td", {}, kind.title),
    ),
  );
  return section("problems", "Problems", el("article", {}, table(rows)));
}

function draw(api) {
  const main = document.getElementById("main");
  const contents = document.getElementById("contents");
  main.append(...paragraphs(api.info.description));
  for (const { name: tag } of api.tags) {
    const articles = [];
    const links = [];
    for (const [path, operations] of Object.entries(api.paths)) {
      for (const method of METHODS) {
        const operation = operations[method];
        if (!operation?.tags.includes(tag)) continue;
        articles.push(operationArticle(path, method, operation));
        links.push(el("a", { href: `#${operation.operationId}` }, operation.summary));
      }
    }
    main.append(section(`tag-${tag}`, tag, articles));
    contents.append(el("h2", {}, tag), ...links);
  }
  main.append(
    streamSection(api["x-stream"]),
    problemSection(api["x-problems"]),
    section(
      "schemas",
      "Schemas",
      Object.entries(api.components.schemas).map(([name, schema]) => schemaArticle(name, schema)),
    ),
  );
  contents.append(
    el("h2", {}, "More"),
    el("a", { href: "#stream-frames" }, "Frames of the stream"),
    el("a", { href: "#problems" }, "Problems"),
    el("a", { href: "#schemas" }, "Schemas"),
    el("a", { href: "/v1/openapi.json" }, "openapi.json"),
  );
}

async function start() {
  const state = document.getElementById("state");
  try {
    const response = await fetch("/v1/openapi.json");
    if (!response.ok) throw new Error(`status ${response.status}`);
    draw(await response.json());
    state.remove();
    // What the address points to was not there yet when the page opened.
    if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  } catch (error) {
    state.textContent = `The description of the API could not be read (${error.message}).`;
  }
}

start();
