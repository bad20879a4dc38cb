// The one file that knows NiiVue (0.69.0, niivue.umd.js beside it): a later version has another
// interface, and only this file would change.

const SCRIPT = "/static/niivue.umd.js";
let loading = null;

export const canShow = () => {
  try {
    return document.createElement("canvas").getContext("webgl2") !== null;
  } catch {
    return false;
  }
};

const library = () => {
  loading ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = SCRIPT;
    script.addEventListener("load", () => done(globalThis.niivue));
    script.addEventListener("error", () => failed(new Error("its script is not there")));
    document.head.append(script);
  });
  return loading;
};

const opened = new WeakMap(); // a canvas has one context, so one viewer

export const open = async (canvas, say) => {
  const kept = opened.get(canvas);
  if (kept) return kept;
  const { Niivue } = await library();
  const viewer = new Niivue({
    dragAndDropEnabled: false,
    isColorbar: false,
    isOrientationTextVisible: true,
    backColor: [0, 0, 0, 1],
    show3Dcrosshair: true,
    crosshairWidthUnit: "percent",
    crosshairWidth: 0.3,
    isNearestInterpolation: true,
    crosshairColor: [0.39, 0.77, 0.85, 0.8],
    logLevel: "error",
    onLocationChange: (place) => say(place.string),
  });
  await viewer.attachToCanvas(canvas);
  const own = {
    show: async (address, table) => {
      const answer = await fetch(address);
      if (!answer.ok) throw new Error((await answer.json()).sentence);
      const bytes = await answer.arrayBuffer();
      for (const volume of [...viewer.volumes]) viewer.removeVolume(volume);
      await viewer.loadFromArrayBuffer(bytes, "volume.nii");
      if (viewer.volumes.length) viewer.setColormap(viewer.volumes[0].id, table || "gray");
      viewer.setSliceType(viewer.sliceTypeMultiplanar);
    },
  };
  opened.set(canvas, own);
  return own;
};
