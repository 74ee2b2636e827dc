"""Chemical symbols, the one table of them: index is the atomic number, entry 0 is unused."""

_PERIODIC_TABLE = (
    "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr "
    "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu "
    "Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr "
    "Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
)

SYMBOLS: tuple[str, ...] = tuple(_PERIODIC_TABLE.split())
"""`SYMBOLS[26] == "Fe"`."""

ATOMIC_NUMBERS: dict[str, int] = {symbol: z for z, symbol in enumerate(SYMBOLS) if z > 0}
"""`ATOMIC_NUMBERS["Fe"] == 26`."""

MAX_ATOMIC_NUMBER = 100
"""Elements 1..100 (H to Fm) have CGCNN features; models may support fewer."""

HYDROGEN_ISOTOPES: dict[str, str] = {"D": "deuterium", "T": "tritium"}
"""Symbols read as hydrogen: the models know elements, not isotopes."""


def isotope_note(symbol: str) -> str:
    """What the user is told when `D` or `T` was read as hydrogen."""
    return f"{HYDROGEN_ISOTOPES[symbol]} ({symbol}) read as hydrogen"
