// Molecules drawn by 3Dmol.js in the page. The kernel sends the library once per page; no notebook stores it.
// Without WebGL, or if the library does not come, the still picture is shown instead: never an empty box.
const SECONDS = 600; // the kernel answers only after the cells that it is running

function library(model) {
    globalThis.ponita3Dmol ??= new Promise((done, failed) => {
        model.on("msg:custom", (message) => {
            if (message.library) {
                const url = URL.createObjectURL(new Blob([message.library], { type: "text/javascript" }));
                import(url).then(done, failed);
            }
        });
        model.send({ want: "library" });
        setTimeout(() => failed(new Error("3Dmol.js did not come")), 1000 * SECONDS);
    }).catch((error) => { globalThis.ponita3Dmol = undefined; throw error; });
    return globalThis.ponita3Dmol;
}

function still(model, el, why) {
    const image = document.createElement("img");
    image.src = model.get("picture");
    image.alt = model.get("alt");
    image.style.maxWidth = "100%";
    el.replaceChildren(image);
    el.dataset.state = "still";
    el.dataset.why = String(why);
}

async function draw(model, el) {
    const [rows, columns] = model.get("shape");
    const box = document.createElement("div");
    box.style.cssText = `position: relative; width: 100%; max-width: ${260 * columns}px; height: ${240 * rows}px`;
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", model.get("alt"));
    el.replaceChildren(box);
    const $3Dmol = await library(model);
    // eslint-disable-next-line no-undef
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
        el.dataset.state = "waiting";
        draw(model, el).catch((error) => still(model, el, error));
    },
};
