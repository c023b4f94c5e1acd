"""Pictures of many prompts, drawn by a bundle or by the reference pipeline, with a manifest.

From a prompts file to a folder: `prompts` reads the file, `order` numbers what is to be drawn, a `source` (a
bundle or the reference) draws it, `draw` has it do so side by side, and `progress` keeps the folder's
manifest. `remains` finds what an earlier run left, and `arrange` has the rest computed as that was. `read`
gives the folder to whatever measures it.
"""
