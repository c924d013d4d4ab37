"""What people call the things on a table: one row a category, ``name: synonyms | arguable | near``.

The three lists are kinds of :mod:`.vocabulary`, where their meaning stands; the name comes first where the everyday
noun is not the category's own word (``glasses = pair of glasses``).
"""

from __future__ import annotations

TABLE_ROWS = """
mug: coffee mug | | cup, glass, pitcher
cup: | mug | glass, bowl
glass: drinking glass | glasses | cup, jar, vase, mug, candle
bowl: | | plate, pot, cup, vase, basket, tray, frying pan
plate: dinner plate | | bowl, tray, frying pan
pot: cooking pot | teapot, kettle | bowl, vase, pitcher, jar, frying pan, plant
teapot: tea pot | kettle | pitcher, pot, mug
pitcher: jug | | teapot, vase, bottle, jar, mug, kettle
vase: flower vase | | bottle, jar, pitcher, glass, pot, cup, bowl, plant
jar: storage jar | | can, tin, glass, vase, bottle, pot, cup, mug, candle, salt shaker
box: | carton, tissue box | book, tin, toy brick, radio, speaker, basket
carton: milk carton | | box, bottle
book: | notebook | tablet
can: | | tin, jar, tube, trash can
tin: | can | jar, box
bottle: | soap dispenser, spray bottle | vase, jar, pitcher, tube
tube: | | bottle, can, marker, flashlight
ball: | | apple, orange, peach, lemon
banana: | |
apple: | | ball, peach, pear, orange, strawberry
orange: | | ball, peach, lemon, apple
lemon: | lime | orange, ball, apple, pear
pear: | | apple, lemon, lime
peach: | | apple, orange, ball
strawberry: | | apple
bread: loaf of bread | | hamburger
laptop: laptop computer | | keyboard, tablet
phone: cell phone, smartphone, mobile phone | | remote, tablet
remote: remote control, TV remote | | phone, game controller
keyboard: computer keyboard | | laptop, piano
mouse: computer mouse | |
lamp: | | flashlight, candle
kettle: tea kettle | | teapot, pitcher, pot
frying pan: pan, skillet | | pot, plate, bowl
knife: kitchen knife | | spatula, fork, spoon, scissors
fork: table fork | | spoon, knife
spoon: table spoon | | fork, knife, spatula
spatula: kitchen spatula | | spoon, knife
cutting board: chopping board | | tray, plate, tablet
tray: serving tray | | plate, cutting board, basket, bowl
basket: | | bowl, tray, bag, box, trash can
candle: | | jar, can, glass, lamp
clock: alarm clock | | watch, radio
camera: photo camera | | phone
screwdriver: | | knife, power drill, pen, marker
hammer: | |
wrench: spanner | |
marker: marker pen, felt-tip pen | | pen, tube, screwdriver
pen: ballpoint pen | marker | screwdriver
tape measure: measuring tape | |
flashlight: electric torch | | lamp, tube
padlock: lock | |
sponge: kitchen sponge | | toy brick, box, bread
brush: | | comb
comb: | | brush
watch: wristwatch | | clock
glasses = pair of glasses: pair of eyeglasses, pair of spectacles | |
hat: | |
bag: | | basket, suitcase, hat
plant: potted plant, houseplant | | vase, pot
toy brick: building brick, toy block | block | box
toy car: model car | |
toy airplane: toy plane, model airplane | |
rubik's cube: puzzle cube, magic cube | | toy brick, box
tablet: tablet computer | | phone, laptop, cutting board, picture frame, tv
speaker: loudspeaker | | radio, can, box
radio: portable radio | | speaker, clock
tissue box: box of tissues | | box, carton
notebook: notepad | book | tablet, laptop
salt shaker: salt cellar | | jar, bottle, candle
soap dispenser: hand soap dispenser | | bottle, spray bottle
shoe: | |
coffee machine: coffee maker | | kettle, toaster
picture frame: photo frame | | tablet, book, clock, tv
power drill: drill, cordless drill | | screwdriver
scissors: | |
game controller: gamepad | | remote
hamburger: burger | | bread
headphones: headset | |
spray bottle: spray can | bottle | soap dispenser
stapler: | |
toaster: | | box, coffee machine
teddy bear: stuffed bear, teddy | |
"""
