"""Steps of a jobflow workflow (atomate2 chains them like its own): sieve structures before the expensive calculation.

    flow = screening_flow(structures, at_most=-1.0)
    run_locally(flow)            # or jobflow-remote's submit_flow, FireWorks' flow_to_workflow

The server is that of XTALFORGE_URL. Outputs are plain JSON, for any store.
"""

from typing import Any

from jobflow import Flow, Response, job
from pymatgen.core import Structure

from xtalforge_client import Client

PER_ATOM = "formation_energy_per_atom"


@job
def predict_formation_energies(structures: list[Structure], interval_level: float = 0.9) -> list[dict[str, Any]]:
    """Value and interval (eV/atom) of each structure that could be used, by its place in the list."""
    with Client() as client:
        answer = client.predict(structures, properties=[PER_ATOM], interval_level=interval_level)
    return [each.model_dump(mode="json", exclude={"definition", "neighbours"}) for each in answer.predictions]


@job
def go_on_with_stable(
    structures: list[Structure], predictions: list[dict[str, Any]], at_most: float
) -> Response[list[Structure]]:
    """The structures whose formation energy is below `at_most` eV/atom and which are like the training data.

    In a workflow of atomate2 give `detour=RelaxMaker().make(...)` of each of them instead of their list.
    """
    chosen = [
        structures[int(each["input_id"])]
        for each in predictions
        if each["value"] < at_most and (each["domain"] is None or each["domain"]["in_domain"])
    ]
    return Response(output=chosen)


def screening_flow(structures: list[Structure], at_most: float) -> Flow:
    """Predict, then keep the stable ones."""
    predicted = predict_formation_energies(structures)
    kept = go_on_with_stable(structures, predicted.output, at_most)
    return Flow([predicted, kept], output=kept.output, name="sieve by formation energy")
