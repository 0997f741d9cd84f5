"""The signs that LaTeX has names for, as characters that old fonts have. Only tables.

None is beyond the first 65,536 characters.
"""

from __future__ import annotations


def _same(names: str) -> dict[str, str]:
    return {name: name for name in names.split()}


def _table(pairs: str) -> dict[str, str]:
    words = pairs.split()
    return dict(zip(words[::2], words[1::2], strict=True))


LETTERS = _table(
    "alpha α beta β gamma γ delta δ epsilon ε varepsilon ε zeta ζ eta η theta θ vartheta ϑ iota ι kappa κ"
    " varkappa κ lambda λ mu μ nu ν xi ξ omicron ο pi π varpi π rho ρ varrho ρ sigma σ varsigma ς tau τ"
    " upsilon υ phi φ varphi φ chi χ psi ψ omega ω Gamma Γ Delta Δ Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Upsilon"
    " Υ Phi Φ Psi Ψ Omega Ω infty ∞ partial ∂ nabla ∇ hbar ħ hslash ħ ell ℓ aleph ℵ beth ℶ wp ℘"
    " emptyset ∅ varnothing ∅ forall ∀ exists ∃ nexists ∄ neg ¬ lnot ¬ top ⊤ bot ⊥ angle ∠ measuredangle ∠"
    " triangle △ square □ Box □ blacksquare ■ qed ■ checkmark ✓ degree ° prime ′ dagger † ddagger ‡ ldots …"
    " dots … cdots ⋯ dotsc … dotsb ⋯ vdots ⋮ ddots ⋱ imath i jmath j clubsuit ♣"
    " diamondsuit ♦ heartsuit ♥ spadesuit ♠ flat ♭ natural ♮ sharp ♯ Vert ‖ | ‖ vert | % % $ $ # # & & _ _ aa"
    " å AA Å ss ß ae æ AE Æ oe œ OE Œ o ø O Ø S § P ¶ pounds £ euro € yen ¥ copyright © textdegree °"
    " textbackslash \\ backslash \\ textasciitilde ~ colon : lbrace { rbrace } surd √ complement ∁ mho ℧ textmu"
    " µ ohm Ω celsius °C N ℕ Z ℤ R ℝ Q ℚ"
)
"""Letters, and signs that stand in a product as a letter does."""

BINARY = _table(
    "pm ± mp ∓ times × div ÷ cdot · centerdot · ast ∗ star ⋆ circ ∘ bullet • cup ∪ cap ∩ setminus ∖"
    " smallsetminus ∖ oplus ⊕ ominus ⊖ otimes ⊗ oslash ⊘ odot ⊙ wedge ∧ land ∧ vee ∨ lor ∨ uplus ⊎ sqcup ⊔"
    " sqcap ⊓ amalg ⨿ wr ≀ bmod mod"
)
"""Signs between two terms; with a space on each side."""

RELATIONS = _table(
    "therefore ∴ because ∵"
    " le ≤ leq ≤ leqslant ≤ ge ≥ geq ≥ geqslant ≥ lt < gt > ne ≠ neq ≠ approx ≈ approxeq ≈ equiv ≡ cong ≅"
    " sim ∼ simeq ≃ asymp ≍ doteq ≐ propto ∝ varpropto ∝ ll ≪ gg ≫ in ∈ notin ∉ ni ∋ subset ⊂ subseteq ⊆ subsetneq"
    " ⊊ nsubseteq ⊈ supset ⊃ supseteq ⊇ supsetneq ⊋ mid | nmid ∤ parallel ∥ nparallel ∦ perp ⊥ models ⊨ vdash"
    " ⊢ vDash ⊨ prec ≺ preceq ≼ succ ≻ succeq ≽ to → rightarrow → longrightarrow → leftarrow ← gets ←"
    " longleftarrow ← leftrightarrow ↔ longleftrightarrow ↔ Rightarrow ⇒ Longrightarrow ⇒ implies ⇒ Leftarrow"
    " ⇐ Longleftarrow ⇐ impliedby ⇐ Leftrightarrow ⇔ Longleftrightarrow ⇔ iff ⇔ mapsto ↦ longmapsto ↦ uparrow"
    " ↑ downarrow ↓ updownarrow ↕ Uparrow ⇑ Downarrow ⇓ nearrow ↗ searrow ↘ swarrow ↙ nwarrow ↖ hookrightarrow"
    " ↪ hookleftarrow ↩ rightharpoonup ⇀ rightleftharpoons ⇌ leftrightharpoons ⇋ rightleftarrows ⇄ leadsto ⇝"
    " coloneqq ≔ triangleq ≜ lesssim ≲ gtrsim ≳ bowtie ⋈ smile ⌣ frown ⌢ trianglelefteq ⊴ triangleleft ⊲"
)
"""Signs between two sides; with a space on each side."""

LARGE = {
    **_table(
        "sum ∑ prod ∏ coprod ∐ int ∫ iint ∬ iiint ∭ oint ∮ bigcup ⋃ bigcap ⋂ bigoplus ⨁ bigotimes ⨂ bigwedge ⋀"
        " bigvee ⋁ lim lim"
    ),
    **{"limsup": "lim sup", "liminf": "lim inf"},
}
"""Signs with bounds."""

OPENING = _table("{ { lbrace { langle ⟨ lfloor ⌊ lceil ⌈ lvert | lVert ‖ lbrack [ ulcorner ⌜ lgroup (")
CLOSING = _table("} } rbrace } rangle ⟩ rfloor ⌋ rceil ⌉ rvert | rVert ‖ rbrack ] urcorner ⌝ rgroup )")

FUNCTIONS = _same(
    "Re Im sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh coth log ln lg exp max min sup inf arg det"
    " dim ker deg gcd lcm hom Pr erf tr rank diag sgn sign span argmax argmin Var Cov Tr E mod"
)
"""Names that are words."""

SPACES = {
    **dict.fromkeys(
        (",", ":", ";", ">", " ", "\n", "enspace", "thinspace", "medspace", "space", "nobreakspace"), " "
    ),
    **dict.fromkeys(("quad", "qquad", "hfill"), "\u00a0 "),
    **dict.fromkeys(("!", "negthinspace", "/", "-"), ""),
}

WITHOUT_MEANING = _same(
    "large Large LARGE small"
    " displaystyle textstyle scriptstyle scriptscriptstyle limits nolimits nonumber notag hline relax bigl"
    " bigr big Big Bigl Bigr bigg biggl biggr Bigg Biggl Biggr bigm Bigm rm bf it cal mathstrut strut"
    " centering protect allowbreak nobreak noindent mathop mathrel mathbin mathord mathopen mathclose"
    " mathpunct mathinner"
)
"""Commands that change the look only: they are left out, and what they belong to stays."""

PAIRS = {"abs": ("|", "|"), "norm": ("‖", "‖"), "bra": ("⟨", "|"), "ket": ("|", "⟩")}
"""Commands that put an argument between two signs."""

DOUBLE = _table("C ℂ H ℍ N ℕ P ℙ Q ℚ R ℝ Z ℤ")
"""Letters with a double stroke; the others are beyond the first 65,536 characters."""

NEGATED = _table("= ≠ ∈ ∉ ∋ ∌ < ≮ > ≯ ≤ ≰ ≥ ≱ ⊂ ⊄ ⊃ ⊅ ⊆ ⊈ ⊇ ⊉ ≡ ≢ ≈ ≉ ∼ ≁ ≅ ≇ | ∤ ∥ ∦ ∃ ∄ → ↛ ⇒ ⇏")

ACCENTS = {
    **dict.fromkeys(("hat", "widehat"), "\u0302"),
    **dict.fromkeys(("bar", "overline"), "\u0304"),
    **dict.fromkeys(("tilde", "widetilde"), "\u0303"),
    **{
        "dot": "\u0307",
        "ddot": "\u0308",
        "check": "\u030c",
        "breve": "\u0306",
        "acute": "\u0301",
        "grave": "\u0300",
    },
    **{"mathring": "\u030a", "underline": "\u0332", "not": "\u0338"},
}
"""Marks that are written behind a letter and stand above or below it."""

UNITS = _table(
    "metre m meter m gram g kilogram kg second s ampere A kelvin K mole mol candela cd hertz Hz newton N"
    " pascal Pa joule J watt W coulomb C volt V farad F ohm Ω siemens S weber Wb tesla T henry H lumen lm lux"
    " lx becquerel Bq gray Gy litre L liter L minute min hour h day d electronvolt eV degree ° degreeCelsius"
    " °C celsius °C percent % bar bar per / squared ² cubed ³ milli m micro µ nano n pico p femto f centi c"
    " deci d kilo k mega M giga G tera T square ² cubic ³ angstrom Å"
)
"""The names of the package `siunitx`."""
