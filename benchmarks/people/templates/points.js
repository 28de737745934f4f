// People as points of a curve: a person gives one answer an image and no scores, so there is no curve of theirs.

function peoplePoints(x, y, toAxis = (u) => u) {
  return D.people.map((person, k) => {
    if (person[x] === null || person[y] === null) return "";
    const cx = toX(toAxis(person[x])), cy = toY(person[y]);
    const note = `${escaped(person.name)}: ${x} ${fixed(person[x])}, ${y} ${fixed(person[y])}, on the images they judged`;
    return `<g class="person-point"><rect class="person" x="${cx - 4.5}" y="${cy - 4.5}" width="9" height="9"><title>${note}</title></rect><text class="person-name" x="${cx + 8}" y="${cy + 4}">P${k + 1}</text></g>`;
  }).join("");
}
