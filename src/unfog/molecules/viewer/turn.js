// Each molecule of the page, its SDF record in an attribute, turning until it is touched.
for (const place of document.querySelectorAll("div.molecule")) {
  const view = $3Dmol.createViewer(place, { backgroundColor: "white", disableFog: true });
  view.addModel(place.dataset.sdf, "sdf");
  view.setStyle({}, { stick: { radius: 0.14 }, sphere: { scale: 0.26 } });
  view.zoomTo();
  view.render();
  view.spin("y", 0.6);
  place.dataset.atoms = String(view.getModel().selectedAtoms({}).length);
}
