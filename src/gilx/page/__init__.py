"""Pages: what gilx found as one HTML file that needs nothing else.

`gilx.page.document` is what a page is made of. What is on it is said where the figures
are: `gilx.meter.curves` for reports, `gilx.gilwatch.lanes` for timelines,
`gilx.story.page` for the story.
"""
