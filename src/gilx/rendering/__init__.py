"""Pages: what gilx found as one HTML file that needs nothing else.

`gilx.rendering.html_page` is what a page is made of. What is on it is in
`gilx.rendering.report_page` for reports, `gilx.rendering.timeline_page` for timelines, and
`gilx.demo.demo_page` for the story.
"""
