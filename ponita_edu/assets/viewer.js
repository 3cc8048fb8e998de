// Molecules drawn by 3Dmol.js in the page. The kernel sends the library once per page; no notebook stores it.
// Until it comes (a busy kernel answers late), without it and without WebGL the still picture stands there: never an
// empty box.
const WIDE = 260, HIGH = 240; // pixels of one molecule at most
const NARROW = 150; // at least: on a narrow page fewer stand in a row

function library(model) {
    if (globalThis.ponita3Dmol) {
        return globalThis.ponita3Dmol;
    }
    return new Promise((done, failed) => { // each viewer asks for itself: the kernel of another may be dead
        model.on("msg:custom", (message) => {
            if (message.library) {
                const module = new Blob([message.library], { type: "text/javascript" });
                globalThis.ponita3Dmol ??= import(URL.createObjectURL(module));
                globalThis.ponita3Dmol.then(done, failed);
            }
        });
        model.send({ want: "library" });
    });
}

function still(model, el, state) {
    const image = document.createElement("img");
    image.src = model.get("picture");
    image.alt = model.get("alt");
    image.style.maxWidth = "100%";
    el.replaceChildren(image);
    el.dataset.state = state;
}

async function draw(model, el) {
    const $3Dmol = await library(model);
    const labels = model.get("labels"), asked = model.get("shape")[1];
    const width = el.clientWidth || Infinity; // 0 where it is not on the page yet
    const columns = Math.max(1, Math.min(asked, Math.floor(width / NARROW)));
    const rows = Math.ceil(labels.length / columns), height = Math.min(HIGH, 1.1 * width / columns);
    const box = document.createElement("div");
    box.style.cssText = `position: relative; width: 100%; max-width: ${WIDE * columns}px; height: ${height * rows}px`;
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", model.get("alt"));
    el.replaceChildren(box);
    const grid = $3Dmol.createViewerGrid(box, { rows, cols: columns, control_all: model.get("linked") },
        { backgroundColor: "white" });
    if (!grid?.[0]?.[0]) {
        throw new Error("no WebGL");
    }
    // the script names the places of the rows and columns that were asked for
    const viewers = grid.flat(), places = [];
    for (let k = 0; k < viewers.length; k += asked) {
        places.push(viewers.slice(k, k + asked));
    }
    labels.forEach((label, k) => {
        const text = document.createElement("span");
        text.textContent = label;
        text.style.cssText = `position: absolute; z-index: 1; left: ${100 * (k % columns) / columns}%; padding: 4px 8px;`
            + `top: ${100 * Math.floor(k / columns) / rows}%; font: 13px sans-serif; color: black`;
        box.append(text);
    });
    const show = () => {
        new Function("viewergrid_UNIQUEID", "viewer_UNIQUEID", model.get("script"))(places, viewers[0]);
        // 3Dmol fits a molecule to the height of its tile, which may be narrower than high
        const fit = Math.min(1, 0.95 * Math.min(WIDE, width / columns) / height);
        for (const viewer of viewers) {
            viewer.zoom(fit);
            viewer.render();
        }
        el.dataset.models = viewers.reduce((sum, viewer) => sum + (viewer.getModel() ? 1 : 0), 0);
        el.dataset.state = "drawn";
    };
    show();
    model.on("change:script", show);
}

export default {
    render({ model, el }) {
        el.classList.add("ponita-viewer");
        still(model, el, "waiting");
        draw(model, el).catch(() => still(model, el, "still"));
    },
};
