// usage: node check.mjs < answer.json
// Read a JSON-stat 2.0 answer with jsonstat-toolkit, and print what it finds as JSON: dimensions, categories, labels, units,
// and every cell by its coordinates. Ends with a status above 0 when the toolkit does not take it for a dataset.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

// The package is installed outside of the source tree: CHECK_MODULES is the folder that has node_modules.
const require = createRequire(join(process.env.CHECK_MODULES, 'package.json'));
const toolkit = require('jsonstat-toolkit');
const JSONstat = toolkit.default ?? toolkit;

const dataset = JSONstat(JSON.parse(readFileSync(0, 'utf8')));
if (dataset.class !== 'dataset') {
  console.error(`the toolkit says: class ${dataset.class}`);
  process.exit(1);
}
const dimensions = dataset.id.map(id => {
  const dimension = dataset.Dimension(id);
  return {
    id, label: dimension.label, role: dimension.role,
    categories: dimension.id,
    units: dimension.id.map(category => dimension.Category(category).unit ?? null),
  };
});
const cells = [];
const walk = (at, where) => {
  if (at === dimensions.length) {
    const cell = dataset.Data(where);
    cells.push({ where: { ...where }, value: cell.value, status: cell.status });
    return;
  }
  for (const category of dimensions[at].categories)
    walk(at + 1, { ...where, [dimensions[at].id]: category });
};
walk(0, {});
console.log(JSON.stringify({ label: dataset.label, source: dataset.source, updated: dataset.updated, dimensions, cells }));
