// A live picture. anywidget gives a script two seconds to be there, and loses for good what Python says to a later one.
// Plotly, of five megabytes, can take longer on a busy machine; so this script comes first and keeps what is said until
// plotly is there, once for all pictures of a page.
const CHANGES = ["addTraces", "deleteTraces", "moveTraces", "restyle", "relayout", "update", "animate",
    "removeLayoutProps", "removeTraceProps"].map((name) => `_py2js_${name}`);

async function load(script) {
    const isAddress = /^\/[\w.]+$/.test(script);
    const module = await import(isAddress ? new URL(script, location.origin)
        : URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
    // it would compare all it has drawn with all it was told, and report to Python what differs: as much work again
    const view = module.FigureView.prototype;
    view._sendTraceDeltas = view._sendLayoutDelta = () => {};
    return module.default;
}

export default () => {
    let whole;
    return {
        initialize({ model }) {
            const early = [], acts = {};
            let figure, told;
            for (const name of CHANGES) {
                model.on(`change:${name}`, () => {
                    globalThis.ponitaWake();
                    figure || early.push([name, model.get(name)]);
                });
            }
            const forPlotly = {
                get: (name) => (told?.[0] === name ? told[1] : model.get(name)),
                set: (name, value) => model.set(name, value),
                save_changes: () => model.save_changes(),
                on: (event, act) => {
                    (acts[event] ??= []).push(act);
                    model.on(event, act);
                },
            };
            globalThis.ponitaPlotly ??= load(model.get("_plotly"));
            whole = globalThis.ponitaPlotly.then((make) => {
                figure = make();
                figure.initialize({ model: forPlotly });
                for (told of early) {
                    acts[`change:${told[0]}`].forEach((act) => act());
                }
                told = undefined;
                return figure;
            });
        },
        async render(context) {
            const end = await (await whole).render(context);
            globalThis.ponitaWake();
            return end;
        },
    };
};
