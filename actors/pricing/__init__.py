"""The odds engine: from other people's prices or a model of the match to the prices of the house.

Pure and synchronous, like every actor. Probabilities are floats here and nowhere else; what leaves
are odds in whole ten-thousandths, on the ladder. The files, in the order a price passes them:

    blend.py      several sources of one market become one fair probability a selection
    goals.py      or a model says it: football, from the goals expected of each side
    points.py     American football, from the points expected
    shift.py      moved as liability builds
    margin.py     the house's margin put on, or another's taken off
    ladder.py     down to a price there is
    engine.py     and published, where it has changed
    same_game.py  legs of one match in one bet, from the model of the match
    lines.py      what totals and handicaps share: whole, half and quarter lines
    ragged.py     markets of different size in one array
"""
