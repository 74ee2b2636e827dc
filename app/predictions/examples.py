"""Real inputs that succeed, shown in the API documentation and used to warm the models up."""

from typing import Any

NACL_CIF = """data_NaCl
_cell_length_a 5.6402
_cell_length_b 5.6402
_cell_length_c 5.6402
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
_symmetry_Int_Tables_number 225
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Na1 Na 0 0 0
Cl1 Cl 0.5 0.5 0.5
"""

DIAMOND_POSCAR = """diamond silicon
1.0
0.0 2.7155 2.7155
2.7155 0.0 2.7155
2.7155 2.7155 0.0
Si
2
direct
0.0 0.0 0.0
0.25 0.25 0.25
"""

CRYSTAL_INPUT = {"id": "salt", "cif": NACL_CIF}
COMPOSITION_INPUT = {"id": "strontium-titanate", "composition": "SrTiO3"}

REQUEST_EXAMPLES: dict[str, Any] = {
    "crystal": {
        "summary": "Rock salt as CIF",
        "description": "Every champion that takes a crystal structure answers.",
        "value": {"inputs": [CRYSTAL_INPUT]},
    },
    "composition": {
        "summary": "SrTiO3 as composition",
        "description": "Every champion that takes a composition answers.",
        "value": {"inputs": [COMPOSITION_INPUT]},
    },
    "property": {
        "summary": "Formation energy of rock salt and of silicon (POSCAR)",
        "description": "Only the champions of the named property answer.",
        "value": {
            "inputs": [CRYSTAL_INPUT, {"id": "silicon", "poscar": DIAMOND_POSCAR}],
            "properties": ["formation_energy_per_atom"],
        },
    },
}
