// The API for people, from its description for programs.

import { $, make } from "./viewer.js";

const schemaWords = (schema) => {
  const options = schema.anyOf?.filter(({ type }) => type !== "null") ?? [schema];
  return options.map(({ type, enum: values, minimum, maximum }) => {
    const range = minimum === undefined ? "" : `, ${minimum} to ${maximum}`;
    return values ? values.join(", ") : `${type}${range}`;
  }).join(" or ") + (schema.default === undefined ? "" : `; default: ${schema.default}`);
};

const table = (rows) =>
  make("table", "", ...rows.map((cells) =>
    make("tr", "", ...cells.map((text, i) => make(i ? "td" : "th", "", text)))));

const api = await (await fetch("openapi.json")).json();
for (const [path, verbs] of Object.entries(api.paths)) {
  for (const [verb, about] of Object.entries(verbs)) {
    $("main").append(
      make("h2", "", `${verb.toUpperCase()} ${path}`),
      make("p", "", about.summary),
      make("p", "soft", about.description ?? ""),
      table((about.parameters ?? []).map(({ name, in: place, schema, description }) =>
        [name, place, schemaWords(schema), description ?? ""])),
      table(Object.entries(about.responses).map(([status, { description }]) =>
        [status, description])));
    const body = Object.keys(about.requestBody?.content ?? {});
    if (body.length) $("main").append(make("p", "soft", `Body: ${body.join(", or ")}`));
  }
}
