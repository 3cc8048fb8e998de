// Molecules drawn by 3Dmol.js in the page. The kernel sends the library once per page; no notebook stores it.
// Until it comes (a busy kernel answers late), without it and without WebGL the still picture stands there: never an
// empty box.
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
    const [rows, columns] = model.get("shape");
    const box = document.createElement("div");
    box.style.cssText = `position: relative; width: 100%; max-width: ${260 * columns}px; height: ${240 * rows}px`;
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", model.get("alt"));
    el.replaceChildren(box);
    const grid = $3Dmol.createViewerGrid(box, { rows, cols: columns, control_all: model.get("linked") },
        { backgroundColor: "white" });
    if (!grid?.[0]?.[0]) {
        throw new Error("no WebGL");
    }
    model.get("labels").forEach((label, k) => {
        const text = document.createElement("span");
        text.textContent = label;
        text.style.cssText = `position: absolute; z-index: 1; left: ${100 * (k % columns) / columns}%; padding: 4px 8px;`
            + `top: ${100 * Math.floor(k / columns) / rows}%; font: 13px sans-serif; color: black`;
        box.append(text);
    });
    const show = () => {
        new Function("viewergrid_UNIQUEID", "viewer_UNIQUEID", model.get("script"))(grid, grid[0][0]);
        el.dataset.models = grid.flat().reduce((sum, viewer) => sum + (viewer.getModel() ? 1 : 0), 0);
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
