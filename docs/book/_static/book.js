// The widgets of the course without Python: their pictures at the start, to be turned and pointed at.
// Everything comes from the folder of this file, also when the book is opened from a disk, where a page may not fetch.
(() => {
    const home = document.currentScript.src.replace(/[^/]*$/, "");
    const LEAST = 0.65; // of its size is a printed picture shown, however narrow the page, or nobody can read its words
    const scripts = {};
    const load = (name) => scripts[name] ??= new Promise((done, failed) => {
        const script = document.createElement("script");
        script.src = home + name;
        script.onload = done;
        script.onerror = failed;
        document.head.append(script);
    });
    const fileOf = (text) => URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    globalThis.ponitaWidgets = {}; // filled by widgets/*.js

    async function plotly(box, { pictures }) {
        await load("rest.js");
        await load("plotly.min.js");
        const places = pictures.map(() => box.appendChild(document.createElement("div"))); // all, and only then
        for (const [k, { data, layout }] of pictures.entries()) { // is each as wide as it stays
            const place = places[k], high = Math.min(place.clientWidth, layout.height);
            await Plotly.newPlot(place, data, { ...layout, height: high, autosize: true },
                { responsive: true, displaylogo: false });
            // what legend and colour bar leave: a scene narrower than high is cut, a flat one small
            const { w, h } = place._fullLayout._size;
            await Plotly.relayout(place, { height: high + Math.min(w, layout.height - 40) - h });
        }
        globalThis.ponitaWake();
        box.dataset.state = "drawn"; // the viewer of molecules says so itself
    }

    async function molecules(box, record) {
        await load("3dmol.js"); // the same two files that JupyterLab gets from the kernel, as text
        const { library, viewer } = globalThis.ponitaFiles;
        globalThis.ponita3Dmol ??= import(fileOf(library));
        const picture = box.closest(".cell_output").querySelector("img")?.src; // where there is no WebGL
        const values = { ...record, picture };
        (await import(fileOf(viewer))).default.render({ model: { get: (name) => values[name], on() {} }, el: box });
    }

    async function draw(box) {
        const key = box.dataset.widget;
        await load(`widgets/${key}.js`);
        const record = globalThis.ponitaWidgets[key];
        await (record.kind === "plotly" ? plotly : molecules)(box, record);
    }

    document.addEventListener("DOMContentLoaded", () => {
        const near = new IntersectionObserver((entries) => {
            for (const { target, isIntersecting } of entries) {
                if (isIntersecting) {
                    near.unobserve(target);
                    draw(target);
                }
            }
        }, { rootMargin: "400px" });
        document.querySelectorAll("[data-widget]").forEach((box) => near.observe(box));
    });

    addEventListener("load", () => { // pictures have their sizes now
        document.querySelectorAll(".cell_output img").forEach((image) => {
            image.style.minWidth = `${LEAST * image.naturalWidth}px`;
        });
        const wide = "pre, .equation, .table-wrapper, .widget-report, .text_html, dt.sig";
        for (const box of document.querySelectorAll(wide)) {
            if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight) {
                box.tabIndex = 0; // can be scrolled by keys
            }
        }
    });
})();
